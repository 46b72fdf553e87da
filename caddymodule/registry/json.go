package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// parseJSON reads {"tenants": [{"slug": ...}, ...]}. A fault in the text makes an
// error, a fault in one record that record's Err. It reads token by token, since
// encoding/json's own mapping takes "SLUG" for "slug" and the last of two.
func parseJSON(data []byte) ([]Record, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("expected UTF-8")
	}
	p := &jsonParser{dec: json.NewDecoder(bytes.NewReader(data)), data: data, line: 1}
	p.dec.UseNumber()
	records, err := p.document()
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("line %d: the text ends too early", p.lineAt(int64(len(data))))
	case errors.As(err, &syntax):
		// Whichever is further: for some errors the decoder's own offset lies a token
		// back.
		return nil, fmt.Errorf("line %d: %w", p.lineAt(max(syntax.Offset, p.dec.InputOffset())), err)
	case err != nil:
		return nil, fmt.Errorf("line %d: %w", p.lineAt(p.dec.InputOffset()), err)
	}
	return records, nil
}

type jsonParser struct {
	dec  *json.Decoder
	data []byte
	// line is the number of the line at offset, the last place asked for.
	line   int
	offset int64
	met    []string // keys of the record at hand
}

// maxDepth is how deep lists and objects may be nested. Records need three.
const maxDepth = 16

var errDepth = fmt.Errorf("expected at most %d levels of lists and objects", maxDepth)

// lineAt counts lines from the last place on; places only go forward, except for
// a syntax error's, which may lie a token back.
func (p *jsonParser) lineAt(offset int64) int {
	offset = min(offset, int64(len(p.data)))
	if offset < p.offset {
		p.line, p.offset = 1, 0
	}
	p.line += bytes.Count(p.data[p.offset:offset], []byte("\n"))
	p.offset = offset
	return p.line
}

func (p *jsonParser) document() ([]Record, error) {
	if err := p.open('{', `an object with "tenants"`); err != nil {
		return nil, err
	}
	var records []Record
	found := false
	for p.dec.More() {
		name, err := p.dec.Token()
		if err != nil {
			return nil, err
		}
		if name != "tenants" || found {
			return nil, fmt.Errorf(`unexpected key %q: expected "tenants" once and nothing else`, name)
		}
		found = true
		if records, err = p.tenants(); err != nil {
			return nil, err
		}
	}
	if _, err := p.dec.Token(); err != nil {
		return nil, err
	}
	if !found {
		return nil, errors.New(`expected "tenants", found nothing`)
	}
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("expected nothing after the object")
	}
	return records, nil
}

func (p *jsonParser) tenants() ([]Record, error) {
	if err := p.open('[', "a list of tenants"); err != nil {
		return nil, err
	}
	var records []Record
	for p.dec.More() {
		r := Record{Row: len(records) + 1}
		if err := p.record(&r); err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	_, err := p.dec.Token()
	return records, err
}

func (p *jsonParser) record(r *Record) error {
	value, err := p.dec.Token()
	if err != nil {
		return err
	}
	r.Line = p.lineAt(p.dec.InputOffset())
	if value != json.Delim('{') {
		if value, err = p.rest(value, maxDepth); err != nil {
			return err
		}
		r.Err = fmt.Errorf("expected an object, found %s", describe(value))
		return nil
	}
	p.met = p.met[:0]
	for p.dec.More() {
		name, err := p.dec.Token()
		if err != nil {
			return err
		}
		value, err := p.value(maxDepth)
		if err != nil {
			return err
		}
		p.met = r.setKey(name.(string), value, p.met)
	}
	_, err = p.dec.Token()
	return err
}

// value reads the next value, whatever it is: scalars and lists of them as they
// are, objects only to name them.
func (p *jsonParser) value(depth int) (any, error) {
	token, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	return p.rest(token, depth)
}

func (p *jsonParser) rest(token json.Token, depth int) (any, error) {
	if depth == 0 {
		return nil, errDepth
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for p.dec.More() {
			item, err := p.value(depth - 1)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		_, err := p.dec.Token()
		return list, err
	case json.Delim('{'):
		for p.dec.More() {
			if _, err := p.dec.Token(); err != nil {
				return nil, err
			}
			if _, err := p.value(depth - 1); err != nil {
				return nil, err
			}
		}
		_, err := p.dec.Token()
		return map[string]any{}, err
	}
	return token, nil
}

func (p *jsonParser) open(delim json.Delim, what string) error {
	token, err := p.dec.Token()
	if err != nil {
		return err
	}
	if token != delim {
		return fmt.Errorf("expected %s", what)
	}
	return nil
}
