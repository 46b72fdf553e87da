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
	// if the source is a text. If both are 0, the registry counts.
	Row, Line int
	// Faults are what the source could not read: see [Record.Fail].
	Faults []Fault
}

// Fault is what is wrong with one field of a record.
type Fault struct {
	// Field is the field's name, as of [FieldNames]; that of an unknown one if the
	// record has a field too many; empty if the record as a whole is wrong.
	Field string
	// Err says what is wrong.
	Err error
}

// Fail notes what is wrong with a field, or with the whole record if the name is
// empty. A source goes on and sets what else it can read: what becomes of the
// tenant depends on what is left, and a status that can be read always counts.
func (r *Record) Fail(field string, err error) {
	r.Faults = append(r.Faults, Fault{field, err})
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
	// Skipped is true if the record was left out, and false if there is a tenant in
	// spite of it: without the faulty part, as it was before, or with
	// [tenant.Tenant.Fault].
	Skipped bool
	// Err says what is wrong.
	Err error
}

// String names the record and the fault in one line.
func (p Problem) String() string {
	return fmt.Sprintf("%s, slug %q: %v", p.Position, p.Slug, p.Err)
}

// MaxProblems is how many problems are kept in words; more of them are counted.
const MaxProblems = 100

// problems collects faults.
type problems struct {
	listed  []Problem
	count   int
	skipped int
}

func (p *problems) add(r *Record, err error, skipped bool) {
	p.put(Problem{Position: r.position(), Slug: r.Slug, Skipped: skipped, Err: err})
}

func (p *problems) put(problem Problem) {
	problem.Slug = Clip(problem.Slug)
	if problem.Skipped {
		p.skipped++
	}
	if p.count++; len(p.listed) < MaxProblems {
		p.listed = append(p.listed, problem)
	}
}

func (p *problems) same(q *problems) bool {
	if p.count != q.count || p.skipped != q.skipped {
		return false
	}
	for i := range p.listed {
		if a, b := p.listed[i], q.listed[i]; a.Skipped != b.Skipped || a.String() != b.String() {
			return false
		}
	}
	return true
}

// Clip cuts a text from a source to what fits in a log line: a hostile source must
// not fill the log.
func Clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
