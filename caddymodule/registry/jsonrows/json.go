// Package jsonrows reads a text in JSON or YAML that lists tenants:
//
//	{"tenants": [{"slug": "acme-pets", "plan": "free", "hosts": ["pets.acme.example"]}]}
//
// or only the list. A fault in the text is an error that says in which line. A fault
// in one record is that record's, which is read as far as it can be: see
// [registry.Record.Fail].
package jsonrows

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

// Document is what a text says. All but the records is for feeds; members that
// nobody knows are ignored.
type Document struct {
	Records []registry.Record

	// Empty says that a list without tenants is meant: nothing has gone wrong.
	Empty bool
	// Delta says that Records are only those that are new or different. Removed are
	// the slugs of those that are gone.
	Delta   bool
	Removed []string
	// Cursor is what to ask for the next delta with, "" if there is none.
	Cursor string
	// Total counts the tenants, and Version the changes; nil if the text does not.
	Total, Version *uint64
}

// JSON reads a text in JSON, with or without a byte order mark.
//
// It reads token by token: encoding/json's own mapping takes "SLUG" for "slug", and
// the last of two.
func JSON(data []byte) (*Document, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		return nil, errors.New("expected UTF-8")
	}
	p := &reader{dec: json.NewDecoder(bytes.NewReader(data)), data: data, line: 1}
	p.dec.UseNumber()
	err := json.Unmarshal(data, new(anything))
	var at int64
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		at = syntax.Offset
	} else if err == nil {
		err = p.document()
		at = p.dec.InputOffset()
	}
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", p.lineAt(at), err)
	}
	return &p.doc, nil
}

// anything has json.Unmarshal check a text, and say where a fault is, without
// making something of it.
type anything struct{}

func (*anything) UnmarshalJSON([]byte) error { return nil }

// reader reads a text that is known to be JSON, so that its decoder finds no fault.
type reader struct {
	dec  *json.Decoder
	data []byte
	doc  Document
	// line is the number of the line at offset, the last place asked for.
	line   int
	offset int64
}

// lineAt counts lines from the last place on: places only go forward.
func (p *reader) lineAt(offset int64) int {
	p.line += bytes.Count(p.data[p.offset:offset], []byte("\n"))
	p.offset = offset
	return p.line
}

func (p *reader) next() json.Token {
	token, _ := p.dec.Token()
	return token
}

func (p *reader) value() (value any) {
	_ = p.dec.Decode(&value)
	return value
}

func (p *reader) document() error {
	switch p.next() {
	case json.Delim('['):
		p.records()
		return nil
	case json.Delim('{'):
	default:
		return errors.New(`expected an object with "tenants"`)
	}
	members := map[string]any{"tenants": nil, "empty": &p.doc.Empty, "delta": &p.doc.Delta, "removed": &p.doc.Removed,
		"cursor": &p.doc.Cursor, "total": &p.doc.Total, "version": &p.doc.Version}
	met := map[string]bool{}
	for p.dec.More() {
		name, _ := p.next().(string)
		known := strings.ToLower(name)
		target, ok := members[known]
		switch {
		case !ok:
			p.value()
		case name != known || met[name]:
			return fmt.Errorf("unexpected key %q: expected %q once", name, known)
		case name != "tenants":
			if err := p.dec.Decode(target); err != nil {
				return fmt.Errorf("reading %q: expected another type", name)
			}
		case p.next() != json.Delim('['):
			return errors.New("expected a list of tenants")
		default:
			p.records()
		}
		met[name] = true
	}
	if !met["tenants"] {
		return errors.New(`expected "tenants", found nothing`)
	}
	return nil
}

// records reads to the end of the list.
func (p *reader) records() {
	for p.dec.More() {
		r := registry.Record{Row: len(p.doc.Records) + 1}
		p.record(&r)
		p.doc.Records = append(p.doc.Records, r)
	}
	p.next()
}

func (p *reader) record(r *registry.Record) {
	token := p.next()
	r.Line = p.lineAt(p.dec.InputOffset())
	if token != json.Delim('{') {
		var found any = token
		if token == json.Delim('[') {
			found = []any{}
			for p.dec.More() {
				p.value()
			}
			p.next()
		}
		r.Fail("", fmt.Errorf("expected an object, found %s", registry.Describe(found)))
		return
	}
	var met []string
	for p.dec.More() {
		name, _ := p.next().(string)
		value := p.value()
		if registry.IsField(name) {
			if slices.Contains(met, name) {
				r.Fail("", fmt.Errorf("field %q appears twice", name))
				continue
			}
			met = append(met, name)
		}
		if number, ok := value.(json.Number); ok && name == "slug" {
			value = number.String() // it only looks like one
		}
		r.Set(name, value)
	}
	p.next()
}
