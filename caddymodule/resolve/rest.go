package resolve

import (
	"strings"
	"unicode/utf8"
)

// maxEncodings is how often a path is decoded to look for what hides in it. A
// path with more layers has no honest reason, and each layer costs a pass.
const maxEncodings = 3

// checkRest refuses what follows the tenant's segment in an escaped path if a
// backend that decodes it, once or again, could read
//
//   - a dot segment, also with a parameter or a space behind it ("..;x", "..%20"),
//   - a backslash, which some take for a slash,
//   - a control character or bytes that are not UTF-8, which hide overlong forms
//     of dots and slashes,
//   - two slashes at the beginning, which would be another host.
//
// A rest in plain form is looked at once and costs no allocation.
func checkRest(rest string) error {
	if rest == "" || isPlain(rest) {
		return nil
	}
	for range maxEncodings {
		decoded, changed := decode(rest)
		if err := checkDecoded(decoded); err != nil {
			return err
		}
		if !changed {
			return nil
		}
		rest = decoded
	}
	if _, more := decode(rest); more {
		return malformedPath("encoded too many times")
	}
	return nil
}

// isPlain reports whether every segment holds only letters, digits, "-", "_",
// "~" and dots that are not its first character.
func isPlain(rest string) bool {
	for i := range len(rest) {
		switch c := rest[i]; {
		case isAlnum(c), c == '-', c == '_', c == '~':
		case c == '/' && i > 0 && rest[i-1] == '/', c == '.' && rest[i-1] == '/':
			return false
		case c == '/', c == '.':
		default:
			return false
		}
	}
	return true
}

func checkDecoded(s string) error {
	if strings.HasPrefix(s, "//") {
		return malformedPath("two slashes after the tenant")
	}
	if !utf8.ValidString(s) {
		return malformedPath("expected UTF-8")
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f || s[i] == '\\' {
			return malformedPath("control character or backslash")
		}
	}
	for segment := range strings.SplitSeq(s, "/") {
		if end := strings.IndexAny(segment, ";?#"); end >= 0 {
			segment = segment[:end]
		}
		segment = strings.Trim(segment, " ")
		if segment == "." || segment == ".." {
			return malformedPath("dot segment")
		}
	}
	return nil
}

// decode undoes one layer of percent-encoding and reports whether there was any.
// What is not an escape stays as it is: lenient backends read it so.
func decode(s string) (string, bool) {
	i := nextEscape(s)
	if i < 0 {
		return s, false
	}
	var b strings.Builder
	b.Grow(len(s))
	for i >= 0 {
		b.WriteString(s[:i])
		b.WriteByte(unhex(s[i+1])<<4 | unhex(s[i+2]))
		s = s[i+3:]
		i = nextEscape(s)
	}
	b.WriteString(s)
	return b.String(), true
}

func nextEscape(s string) int {
	for i := 0; i+2 < len(s); i++ {
		if s[i] == '%' && isHex(s[i+1]) && isHex(s[i+2]) {
			return i
		}
	}
	return -1
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
