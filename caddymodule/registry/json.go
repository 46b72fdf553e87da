package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// document is what a JSON text says: the list of tenants, and in a feed perhaps
// more.
type document struct {
	tenants []Record
	// delta says that tenants are only those that are new or different, and removed
	// names those that are gone.
	delta   bool
	removed []string
	// cursor is what to ask for the next delta with, empty if there is none.
	cursor string
	// total counts the tenants and version the changes, -1 if the feed does not.
	total, version int64
}

// changes is for documents that are a delta.
func (d *document) changes() Changes {
	return Changes{Records: d.tenants, Removed: d.removed, Tenants: int(d.total), Hosts: -1}
}

// fileKeys and feedKeys are the keys that a text may have on top.
var (
	fileKeys = []string{"tenants"}
	feedKeys = []string{"tenants", "removed", "delta", "cursor", "total", "version"}
)

// parseJSON reads {"tenants": [{"slug": ...}, ...]}. A fault in the text makes an
// error, a fault in one record that record's Err. It reads token by token, since
// encoding/json's own mapping takes "SLUG" for "slug" and the last of two.
func parseJSON(data []byte) ([]Record, error) {
	doc, err := parseDocument(data, fileKeys)
	return doc.tenants, err
}

func parseDocument(data []byte, keys []string) (document, error) {
	if !utf8.Valid(data) {
		return document{}, errors.New("expected UTF-8")
	}
	p := newJSONParser(data)
	doc, err := p.document(keys)
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return document{}, fmt.Errorf("line %d: the text ends too early", p.lineAt(int64(len(data))))
	case errors.As(err, &syntax):
		// Whichever is further: for some errors the decoder's own offset lies a token
		// back.
		return document{}, fmt.Errorf("line %d: %w", p.lineAt(max(syntax.Offset, p.dec.InputOffset())), err)
	case err != nil:
		return document{}, fmt.Errorf("line %d: %w", p.lineAt(p.dec.InputOffset()), err)
	}
	return doc, nil
}

func newJSONParser(data []byte) *jsonParser {
	p := &jsonParser{dec: json.NewDecoder(bytes.NewReader(data)), data: data, line: 1}
	p.dec.UseNumber()
	return p
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

func (p *jsonParser) document(keys []string) (document, error) {
	doc := document{total: -1, version: -1}
	if err := p.open('{', `an object with "tenants"`); err != nil {
		return doc, err
	}
	var met []string
	for p.dec.More() {
		token, err := p.dec.Token()
		if err != nil {
			return doc, err
		}
		key, _ := token.(string)
		if !slices.Contains(keys, key) || slices.Contains(met, key) {
			return doc, fmt.Errorf("unexpected key %q: expected each of %s once", clip(key), strings.Join(keys, ", "))
		}
		met = append(met, key)
		if err := p.member(&doc, key); err != nil {
			return doc, err
		}
	}
	if _, err := p.dec.Token(); err != nil {
		return doc, err
	}
	if !slices.Contains(met, "tenants") {
		return doc, errors.New(`expected "tenants", found nothing`)
	}
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return doc, errors.New("expected nothing after the object")
	}
	return doc, nil
}

func (p *jsonParser) member(doc *document, key string) (err error) {
	if key == "tenants" {
		doc.tenants, err = p.tenants()
		return err
	}
	value, err := p.value(maxDepth)
	if err != nil {
		return err
	}
	ok := false
	switch key {
	case "delta":
		doc.delta, ok = value.(bool)
	case "cursor":
		doc.cursor, ok = value.(string)
	case "removed":
		items, isList := value.([]any)
		if doc.removed, err = texts(items); isList && err == nil {
			ok = true
		}
	case "total":
		doc.total, ok = count(value)
	case "version":
		doc.version, ok = count(value)
	}
	if !ok {
		return fmt.Errorf("reading %q: expected another type, found %s", key, describe(value))
	}
	return nil
}

func count(value any) (int64, bool) {
	number, _ := value.(json.Number)
	n, err := strconv.ParseInt(number.String(), 10, 64)
	return n, err == nil && n >= 0
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
