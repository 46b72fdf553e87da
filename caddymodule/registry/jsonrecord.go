package registry

import (
	"bytes"
	"encoding/json"
	"slices"
)

// recordReader reads the object of one record. What it does not know it leaves to
// [jsonParser], which is slower and the judge of what is valid.
type recordReader struct {
	met   []string
	words map[string]string // texts that many records share
	items []string
}

// read reports false if the text is not a valid object, or too deep.
func (q *recordReader) read(text []byte, r *Record) bool {
	place := *r
	if q.plain(text, r) {
		return true
	}
	*r = place
	p := newJSONParser(text)
	err := p.record(r)
	r.Line = place.Line
	return err == nil && p.dec.InputOffset() == int64(len(text))
}

// plain reads an object of the fields there are, with texts, integers, words and
// lists of texts. It reports false for any other, and may have begun to fill in
// the record.
func (q *recordReader) plain(text []byte, r *Record) bool {
	q.met = q.met[:0]
	at := skipSpace(text, 1)
	for first := true; ; first = false {
		if byteAt(text, at) == '}' && first {
			return at+1 == len(text)
		}
		if byteAt(text, at) != '"' {
			return false
		}
		end := skipText(text, at)
		if end < 0 {
			return false
		}
		name, ok := fieldName(text[at+1 : end-1])
		if !ok || slices.Contains(q.met, name) {
			return false
		}
		q.met = append(q.met, name)
		if at = skipSpace(text, end); byteAt(text, at) != ':' {
			return false
		}
		if at, ok = q.value(text, skipSpace(text, at+1), name, r); !ok {
			return false
		}
		switch at = skipSpace(text, at); byteAt(text, at) {
		case ',':
			at = skipSpace(text, at+1)
		case '}':
			return at+1 == len(text)
		default:
			return false
		}
	}
}

// fieldName returns the field of that name, without a new text.
func fieldName(name []byte) (string, bool) {
	for _, known := range fieldNames {
		if string(name) == known {
			return known, true
		}
	}
	return "", false
}

// value stores the value that begins there and returns where it ends.
func (q *recordReader) value(text []byte, at int, name string, r *Record) (end int, ok bool) {
	switch byteAt(text, at) {
	case '"':
		s, end, ok := q.text(text, at, name)
		if ok {
			storeText(r, name, s)
		}
		return end, ok
	case '[':
		q.items = q.items[:0]
		if end, ok = q.list(text, at); ok {
			r.Set(name, append(make([]string, 0, len(q.items)), q.items...))
		}
		return end, ok
	}
	if end = skipValue(text, at); end < 0 {
		return 0, false
	}
	switch word := text[at:end]; {
	case string(word) == "null":
		r.Set(name, nil)
	case string(word) == "true" || string(word) == "false":
		r.Set(name, string(word) == "true")
	case isInteger(word):
		r.Set(name, json.Number(word))
	default:
		return 0, false
	}
	return end, true
}

func isInteger(word []byte) bool {
	digits := bytes.TrimPrefix(word, []byte("-"))
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(digits) == 1 || len(digits) > 1 && digits[0] != '0'
}

// text reads a text. Those of some fields are kept to be shared.
func (q *recordReader) text(text []byte, at int, name string) (s string, end int, ok bool) {
	if end = skipText(text, at); end < 0 {
		return "", 0, false
	}
	inner := text[at+1 : end-1]
	for _, c := range inner {
		if c < ' ' || c == '\\' {
			// Escapes are the library's, and so is what it says to a control character.
			err := json.Unmarshal(text[at:end], &s)
			return s, end, err == nil
		}
	}
	if name != "plan" && name != "status" {
		return string(inner), end, true
	}
	if s, ok = q.words[string(inner)]; !ok {
		s = string(inner)
		if len(q.words) < maxWords {
			q.words[s] = s
		}
	}
	return s, end, true
}

func (q *recordReader) list(text []byte, at int) (end int, ok bool) {
	at = skipSpace(text, at+1)
	if byteAt(text, at) == ']' {
		return at + 1, true
	}
	for {
		if byteAt(text, at) != '"' {
			return 0, false
		}
		s, end, ok := q.text(text, at, "")
		if !ok {
			return 0, false
		}
		q.items = append(q.items, s)
		switch at = skipSpace(text, end); byteAt(text, at) {
		case ']':
			return at + 1, true
		case ',':
			at = skipSpace(text, at+1)
		default:
			return 0, false
		}
	}
}

// storeText is [Record.set] for a text, without an allocation for those that need
// no reading.
func storeText(r *Record, name, s string) {
	switch name {
	case "slug":
		r.Slug = s
	case "name":
		r.Name = s
	case "plan":
		r.Plan = s
	case "limits":
		r.Limits = s
	case "issuer":
		r.Issuer = s
	case "jwks":
		r.JWKS = s
	case "id":
		if r.ID = s; s == "" {
			r.Set(name, s)
		}
	case "status":
		if r.Status = s; s == "" {
			r.Set(name, s)
		}
	default:
		r.Set(name, s)
	}
}
