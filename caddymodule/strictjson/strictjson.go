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

// Object reads data as one JSON object and returns its members as they are
// written. Besides what encoding/json refuses, it refuses, at every level:
//
//   - two names in one object that are equal, also after decoding of escapes,
//     or differ only in case as encoding/json folds it: one reader takes the
//     first, another the last, a third any of them;
//   - bytes that are not UTF-8, a byte order mark, escaped lone surrogates and
//     U+0000, which decoders replace, keep or end a string at;
//   - nesting deeper than maxDepth, and anything behind the object.
//
// Such errors wrap [ErrAmbiguous]; the text is not quoted in full.
func Object(data []byte, maxDepth int) (map[string]json.RawMessage, error) {
	if err := checkText(data); err != nil {
		return nil, err
	}
	if err := checkNames(data, maxDepth); err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, errors.New("expected one JSON object")
	}
	if members == nil { // the text is "null"
		return nil, errors.New("expected one JSON object")
	}
	return members, nil
}

// checkText looks at bytes and escapes. It need not know where strings begin:
// outside of them neither a backslash nor a control byte is JSON.
func checkText(data []byte) error {
	if !utf8.Valid(data) {
		return fmt.Errorf("%w: not UTF-8", ErrAmbiguous)
	}
	if bytes.HasPrefix(data, []byte("\ufeff")) {
		return fmt.Errorf("%w: begins with a byte order mark", ErrAmbiguous)
	}
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		unit, ok := escape(data[i:])
		switch {
		case !ok:
			i++ // a short escape; the parser judges it
		case unit == 0:
			return fmt.Errorf("%w: U+0000 in a string", ErrAmbiguous)
		case unit >= 0xd800 && unit < 0xdc00:
			low, ok := escape(data[i+6:])
			if !ok || low < 0xdc00 || low > 0xdfff {
				return fmt.Errorf("%w: half of a surrogate pair", ErrAmbiguous)
			}
			i += 11
		case unit >= 0xdc00 && unit < 0xe000:
			return fmt.Errorf("%w: half of a surrogate pair", ErrAmbiguous)
		default:
			i += 5
		}
	}
	return nil
}

// escape reads \uXXXX at the beginning of b.
func escape(b []byte) (unit rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		unit <<= 4
		switch {
		case '0' <= c && c <= '9':
			unit |= rune(c - '0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			unit |= rune(c|0x20-'a') + 10
		default:
			return 0, false
		}
	}
	return unit, true
}

// level is one open object or array.
type level struct {
	names map[string]struct{} // folded names of an object, nil for an array
	key   bool                // the next token is a name or the end
}

func checkNames(data []byte, maxDepth int) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var open []level
	for n := 0; ; n++ {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) && len(open) == 0 && n > 0 {
			return nil
		}
		if err != nil {
			return errors.New("not JSON")
		}
		if n > 0 && len(open) == 0 {
			return errors.New("expected nothing behind the JSON value")
		}
		var top *level
		if len(open) > 0 {
			top = &open[len(open)-1]
		}
		switch t := token.(type) {
		case json.Delim:
			if t == '}' || t == ']' {
				open = open[:len(open)-1]
				continue
			}
			if len(open) == maxDepth {
				return fmt.Errorf("%w: nested deeper than %d", ErrAmbiguous, maxDepth)
			}
			if top != nil {
				top.key = top.names != nil
			}
			next := level{}
			if t == '{' {
				next = level{names: make(map[string]struct{}), key: true}
			}
			open = append(open, next)
			continue
		case string:
			if top != nil && top.key {
				name := fold(t)
				if _, twice := top.names[name]; twice {
					return fmt.Errorf("%w: the name %.40q is there twice", ErrAmbiguous, t)
				}
				top.names[name] = struct{}{}
				top.key = false
				continue
			}
		}
		if top != nil {
			top.key = top.names != nil
		}
	}
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
