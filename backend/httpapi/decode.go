package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits on a JSON body.
const (
	maxBody  = 1 << 20 // bytes
	maxDepth = 8       // levels of nesting; nothing that is asked for needs more than 4
)

// field sets one field of a request from its JSON; null is "null".
type field func(json.RawMessage) error

// readObject reads a request's body as one JSON object and hands each member
// to its field, in the order of the object.
//
// encoding/json alone is too kind: it takes the last of two equal keys, keys
// in another case, and broken UTF-8. Here all of them are errors that name the
// field, as are unknown keys, trailing data and deep nesting, because two
// readers of one body must never read two different things.
func readObject(w http.ResponseWriter, r *http.Request, fields map[string]field) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	return decodeObject(body, fields)
}

// readBody reads a request's JSON as it was sent.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if err := checkContentType(r); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, err
		}
		return nil, newProblem(http.StatusBadRequest, "the body could not be read")
	}
	return body, nil
}

func checkContentType(r *http.Request) error {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := strings.ToLower(params["charset"])
	if err != nil || media != "application/json" && (media != "application/merge-patch+json" || r.Method != http.MethodPatch) ||
		charset != "" && charset != "utf-8" {
		return newProblem(http.StatusUnsupportedMediaType, "expected a body of type application/json")
	}
	return nil
}

func decodeObject(body []byte, fields map[string]field) error {
	if !utf8.Valid(body) {
		return badField("body", "expected valid UTF-8")
	}
	if i := loneSurrogate(body); i >= 0 {
		return badField("body", fmt.Sprintf("expected valid Unicode, found half of a surrogate pair at byte %d", i))
	}
	if err := checkShape(body); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return badField("body", "expected a JSON object")
	}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return badField("body", "expected a JSON object")
		}
		name := tok.(string) // a key, since checkShape has read the same bytes
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return badField(clip(name), "expected a JSON value")
		}
		set, known := fields[name]
		if !known {
			return badField(clip(name), "unknown field; expected "+strings.Join(sortedKeys(fields), ", "))
		}
		if err := set(value); err != nil {
			var p *problem
			if errors.As(err, &p) {
				return p
			}
			return badField(name, err.Error())
		}
	}
	return nil
}

// checkShape reads the whole body once as tokens. It refuses what is not JSON,
// trailing data, deep nesting, and two keys of one object that differ at most
// in case.
func checkShape(body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	type level struct {
		keys  map[string]bool // nil in an array
		isKey bool
	}
	var stack []level
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) && len(stack) == 0 {
			return badField("body", "expected a JSON object")
		}
		if err != nil {
			return badField("body", "expected valid JSON")
		}
		if n := len(stack); n > 0 && stack[n-1].isKey && tok != json.Delim('}') {
			key := strings.ToLower(tok.(string)) // the decoder takes only strings here
			if stack[n-1].keys[key] {
				return badField(clip(tok.(string)), "the field is there twice")
			}
			stack[n-1].keys[key] = true
			stack[n-1].isKey = false
			continue
		}
		switch tok {
		case json.Delim('{'):
			stack = append(stack, level{keys: map[string]bool{}, isKey: true})
		case json.Delim('['):
			stack = append(stack, level{})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
		}
		if len(stack) > maxDepth {
			return badField("body", fmt.Sprintf("expected at most %d levels of nesting", maxDepth))
		}
		if n := len(stack); n == 0 {
			break
		} else if tok != json.Delim('{') && stack[n-1].keys != nil {
			stack[n-1].isKey = true
		}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return badField("body", "expected nothing after the JSON object")
	}
	return nil
}

// loneSurrogate returns the place of an escape such as \ud800 that is not part
// of a pair, or -1. encoding/json would replace it silently.
func loneSurrogate(body []byte) int {
	for i := 0; i+1 < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		if body[i+1] != 'u' {
			i++ // an escaped backslash or quote
			continue
		}
		switch hi := escapedUnit(body, i); {
		case hi >= 0xdc00 && hi <= 0xdfff:
			return i
		case hi >= 0xd800 && hi <= 0xdbff:
			if lo := escapedUnit(body, i+6); lo < 0xdc00 || lo > 0xdfff {
				return i
			}
			i += 11
		default:
			i += 5
		}
	}
	return -1
}

// escapedUnit reads \uXXXX at i, or returns -1.
func escapedUnit(body []byte, i int) int {
	if i+6 > len(body) || body[i] != '\\' || body[i+1] != 'u' {
		return -1
	}
	n := 0
	for _, c := range body[i+2 : i+6] {
		d := strings.IndexByte("0123456789abcdef", c|0x20)
		if c >= '0' && c <= '9' {
			d = int(c - '0')
		}
		if d < 0 {
			return -1
		}
		n = n<<4 | d
	}
	return n
}

func sortedKeys(fields map[string]field) []string {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// clip keeps hostile input from filling an answer or a log line.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
