package registry

import (
	"fmt"
	"strconv"
	"time"
)

// Record is one tenant as a source has it, unchecked. Empty fields take their
// defaults: ID the slug, Status "active".
type Record struct {
	ID     string
	Slug   string
	Name   string
	Plan   string
	Status string
	Limits string
	Hosts  []string
	// Upstreams are the tenant's own backends, if it has any.
	Upstreams []string
	// Issuer and JWKS are the tenant's own issuer of tokens and the URL of its
	// keys, if it has one.
	Issuer, JWKS string
	// Created decides who is older when two records claim one name. Those that
	// have it are older than those without; among the latter, the first one is.
	Created time.Time
	// Row is the record's place in the source, counted from 1, and Line its line
	// if the source is a text.
	Row, Line int
	// Err says why the record could not be read; it is left out and named.
	Err error
	// Note says what is wrong with a part that the tenant can be served without.
	Note error
}

// position names the record for people.
func (r *Record) position() string {
	if r.Line > 0 {
		return "line " + strconv.Itoa(r.Line)
	}
	return "row " + strconv.Itoa(r.Row)
}

// older orders records by who keeps a contested name.
func older(a, b *Record) int {
	switch {
	case a.Created.IsZero() != b.Created.IsZero():
		if b.Created.IsZero() {
			return -1
		}
		return 1
	case !a.Created.Equal(b.Created):
		return a.Created.Compare(b.Created)
	}
	return a.Row - b.Row
}

// Problem is one fault in a source's records.
type Problem struct {
	// Position is the place in the source: "row 3", "line 17".
	Position string
	// Slug is the record's slug as the source has it, cut to a sensible length.
	Slug string
	// Skipped is true if the whole record was left out, and false if the tenant
	// is served without the faulty part.
	Skipped bool
	// Err says what is wrong.
	Err error
}

// String names the record and the fault in one line.
func (p Problem) String() string {
	return fmt.Sprintf("%s, slug %q: %v", p.Position, p.Slug, p.Err)
}

func (r *Record) problem(err error, skipped bool) Problem {
	return Problem{Position: r.position(), Slug: clip(r.Slug), Skipped: skipped, Err: err}
}

// clip keeps a hostile source from filling the log.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
