// Package strictjson refuses JSON that two readers could understand
// differently: the texts that encoding/json takes and that other parsers, or
// the same one with another target, read as something else.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrAmbiguous is the error for texts that are JSON but not of one meaning.
var ErrAmbiguous = errors.New("ambiguous JSON")

// TwiceError is the error for two names in one object that a reader may take for
// the same.
type TwiceError struct{ Name string }

func (e *TwiceError) Error() string {
	return fmt.Sprintf("%v: the name %.40q is there twice", ErrAmbiguous, e.Name)
}

func (e *TwiceError) Unwrap() error { return ErrAmbiguous }

// Member is one member of an object, its value as it is written.
type Member struct {
	Name  string
	Value json.RawMessage
}

// Members reads data as one JSON object and returns its members in their order;
// the values are parts of data. Besides what encoding/json refuses, it refuses,
// at every level:
//
//   - two names in one object that are equal, also after decoding of escapes,
//     or differ only in case as encoding/json folds it: one reader takes the
//     first, another the last, a third any of them. The error is a [*TwiceError];
//   - bytes that are not UTF-8, a byte order mark, escaped lone surrogates and
//     U+0000, which decoders replace, keep or end a string at;
//   - nesting deeper than maxDepth, and anything behind the object.
//
// Errors for what is JSON otherwise wrap [ErrAmbiguous]; the text is not quoted in
// full.
func Members(data []byte, maxDepth int) ([]Member, error) {
	return members(data, maxDepth, func(string) bool { return true })
}

func members(data []byte, maxDepth int, allowed func(name string) bool) ([]Member, error) {
	switch {
	case !utf8.Valid(data):
		return nil, fmt.Errorf("%w: not UTF-8", ErrAmbiguous)
	case bytes.HasPrefix(data, []byte("\ufeff")):
		return nil, fmt.Errorf("%w: begins with a byte order mark", ErrAmbiguous)
	}
	r := reader{dec: json.NewDecoder(bytes.NewReader(data)), data: data, maxDepth: maxDepth, allowed: allowed}
	r.dec.UseNumber()
	if err := r.read(); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return nil, errors.New("expected one JSON object")
	}
	return r.members, nil
}

// Object is [Members] for those to whom the order does not matter.
func Object(data []byte, maxDepth int) (map[string]json.RawMessage, error) {
	list, err := Members(data, maxDepth)
	if err != nil {
		return nil, err
	}
	members := make(map[string]json.RawMessage, len(list))
	for _, m := range list {
		members[m.Name] = m.Value
	}
	return members, nil
}

// Unmarshal is json.Unmarshal for one object that passes [Members], without names
// that v has no field for. All names must be made of lower-case letters of ASCII,
// digits and "_", at every level: encoding/json would take "ID" for "id".
func Unmarshal(data []byte, maxDepth int, v any) error {
	_, err := members(data, maxDepth, func(name string) bool {
		return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
	})
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

// reader reads a text token by token.
type reader struct {
	dec      *json.Decoder
	data     []byte
	maxDepth int
	allowed  func(name string) bool
	open     []level
	members  []Member // of the outermost object
	begin    int64    // where the name of the last of them ends
}

// level is one open object or array.
type level struct {
	names map[string]struct{} // folded names of an object, nil for an array
	key   bool                // the next token is a name or the end
}

func (r *reader) read() error {
	for n := 0; ; n++ {
		begin := r.dec.InputOffset()
		token, err := r.dec.Token()
		if errors.Is(err, io.EOF) && len(r.open) == 0 && n > 0 {
			return nil
		}
		if err != nil {
			return errors.New("not JSON")
		}
		if n > 0 && len(r.open) == 0 {
			return errors.New("expected nothing behind the JSON value")
		}
		if text, ok := token.(string); ok {
			if err := checkText(r.data[begin:r.dec.InputOffset()], text); err != nil {
				return err
			}
		}
		if err := r.take(token); err != nil {
			return err
		}
	}
}

func (r *reader) take(token json.Token) error {
	depth := len(r.open)
	switch {
	case token == json.Delim('}') || token == json.Delim(']'):
		r.open = r.open[:depth-1]
	case depth > 0 && r.open[depth-1].key:
		return r.name(token.(string)) // the decoder takes only strings here
	case token == json.Delim('{') || token == json.Delim('['):
		if depth == r.maxDepth {
			return fmt.Errorf("%w: nested deeper than %d", ErrAmbiguous, r.maxDepth)
		}
		next := level{}
		if token == json.Delim('{') {
			next = level{names: make(map[string]struct{}), key: true}
		}
		r.open = append(r.open, next)
		return nil
	}
	// A value has ended, and what holds it goes on.
	depth = len(r.open)
	if depth > 0 && r.open[depth-1].names != nil {
		r.open[depth-1].key = true
		if depth == 1 {
			r.members[len(r.members)-1].Value = bytes.TrimLeft(r.data[r.begin:r.dec.InputOffset()], ": \t\r\n")
		}
	}
	return nil
}

func (r *reader) name(name string) error {
	top := &r.open[len(r.open)-1]
	if !r.allowed(name) {
		return fmt.Errorf("unexpected name %.40q", name)
	}
	folded := fold(name)
	if _, twice := top.names[folded]; twice {
		return &TwiceError{Name: name}
	}
	top.names[folded], top.key = struct{}{}, false
	if len(r.open) == 1 {
		r.members, r.begin = append(r.members, Member{Name: name}), r.dec.InputOffset()
	}
	return nil
}

// checkText compares a string with what it was read from: the decoder puts U+FFFD in
// the place of an escaped surrogate that is not one of a pair.
func checkText(written []byte, text string) error {
	if strings.Contains(text, "\x00") {
		return fmt.Errorf("%w: U+0000 in a string", ErrAmbiguous)
	}
	const replaced = "\ufffd"
	if !strings.Contains(text, replaced) {
		return nil
	}
	escapes := strings.ToLower(strings.ReplaceAll(string(written), `\\`, "")) // without escaped backslashes
	if strings.Count(text, replaced) > strings.Count(escapes, replaced)+strings.Count(escapes, `\ufffd`) {
		return fmt.Errorf("%w: half of a surrogate pair", ErrAmbiguous)
	}
	return nil
}

// fold maps names that encoding/json takes for the same to one, by the smallest
// character of each Unicode folding orbit, so that "K" covers "k" and U+212A.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, s)
}
