package registry

import (
	"bytes"
	"unicode/utf8"
)

// jsonText reads a text that is read again and again, and each time only the
// records in it that the time before had not.
//
// It finds them in a quick way, for the form of text that programs write. Whatever
// it is not sure of, and every fault, is [parseDocument]'s to judge, which reads
// all of the text token by token.
type jsonText struct {
	keys []string // that the text may have on top
	// seen are the records of the last text, nil if it is not known.
	seen []seenRecord
}

// all reads the whole text.
func (t *jsonText) all(data []byte) (document, error) {
	t.seen = nil
	doc, seen, ok := t.read(data, &comparison{})
	if !ok {
		return parseDocument(data, t.keys)
	}
	if !doc.delta {
		t.seen = seen
	}
	return doc, nil
}

// changes reads a whole text and returns it as the difference to the one before,
// in the form of a delta. It reports false if only all of it can tell.
func (t *jsonText) changes(data []byte) (document, bool) {
	if t.seen == nil {
		return document{}, false
	}
	c := compareWith(t.seen)
	doc, seen, ok := t.read(data, c)
	if !ok || doc.delta {
		return document{}, false
	}
	t.seen = seen
	doc.delta, doc.removed, doc.total = true, c.removed(doc.tenants), int64(len(seen))
	return doc, true
}

// read returns the text's records as far as they are not known, and what was seen.
func (t *jsonText) read(data []byte, c *comparison) (document, []seenRecord, bool) {
	if !utf8.Valid(data) {
		return document{}, nil, false
	}
	objects, frame, ok := splitJSON(data)
	if !ok {
		return document{}, nil, false
	}
	doc, err := parseDocument(frame, t.keys)
	if err != nil {
		return document{}, nil, false
	}
	q := recordReader{words: map[string]string{}}
	if len(c.old) == 0 {
		c.now = make([]seenRecord, 0, len(objects))
		doc.tenants = make([]Record, 0, len(objects))
	}
	line, counted := 1, 0
	for i, object := range objects {
		text := data[object.from:object.to]
		s := sumOf(text)
		if c.known(s) {
			continue
		}
		line += bytes.Count(data[counted:object.from], []byte("\n"))
		counted = object.from
		r := Record{Row: i + 1, Line: line}
		if !q.read(text, &r) {
			return document{}, nil, false
		}
		c.add(s, r.Slug)
		doc.tenants = append(doc.tenants, r)
	}
	if len(objects) == 0 {
		doc.tenants = nil // as the judge has it
	}
	return doc, c.now, true
}
