package tenant

import (
	"errors"
	"fmt"
	"strings"
)

// MaxHostLen is the longest host name in bytes without a trailing dot
// (RFC 1035, section 2.3.4).
const MaxHostLen = 253

// NormalizeHost returns the host name of a Host header or a TLS server name in
// the one form that everything compares: ASCII lower case, no port, no
// trailing dot.
//
// It accepts only letters, digits and hyphens in labels of 1 to 63 bytes
// (RFC 1123, section 2.1) and refuses everything else: an empty host or label,
// two trailing dots, wildcards, underscores, IP literals, non-ASCII. Case is
// folded byte by byte and never by Unicode, since U+212A folds to "k". Nothing
// is decoded: internationalised names are compared in their encoded form.
//
// The error wraps [ErrMalformed]. A host that is already in normal form, with
// or without a port, costs no allocation.
func NormalizeHost(host string) (string, error) {
	name, err := stripPort(host)
	if err != nil {
		return "", fmt.Errorf("reading host %q: %w: %w", clip(host), ErrMalformed, err)
	}
	name = strings.TrimSuffix(name, ".")
	if len(name) > MaxHostLen {
		return "", fmt.Errorf("reading host %q: %w: longer than %d bytes", clip(host), ErrMalformed, MaxHostLen)
	}
	name = lowerASCII(name)
	numeric := true
	for rest, more := name, true; more; {
		var label string
		label, rest, more = strings.Cut(rest, ".")
		if err := checkLabel(label); err != nil {
			return "", fmt.Errorf("reading host %q: %w: %w", clip(host), ErrMalformed, err)
		}
		numeric = isNumber(label)
	}
	// A name whose last label is a number is an IPv4 address in one of its
	// spellings to somebody (WHATWG URL, "ends in a number").
	if numeric {
		return "", fmt.Errorf("reading host %q: %w: expected a name, not an address", clip(host), ErrMalformed)
	}
	return name, nil
}

// stripPort cuts ":port". The port is 1 to 5 digits: "host:" and "host:x" are
// not hosts that a well-behaved client sends.
func stripPort(host string) (string, error) {
	i := strings.IndexByte(host, ':')
	if i < 0 {
		return host, nil
	}
	port := host[i+1:]
	if len(port) == 0 || len(port) > 5 || !isNumeric(port) {
		return "", errors.New("expected a name and at most one port")
	}
	return host[:i], nil
}

// checkLabel accepts a lower-case DNS label.
func checkLabel(s string) error {
	if s == "" {
		return errors.New("expected 1 to 63 characters, found none")
	}
	if len(s) > MaxSlugLen {
		return errors.New("expected 1 to 63 characters, found more")
	}
	for i := range len(s) {
		c := s[i]
		if ('a' > c || c > 'z') && ('0' > c || c > '9') && c != '-' {
			return errors.New("expected lower-case letters a-z, digits and hyphens")
		}
	}
	if s[0] == '-' || s[len(s)-1] == '-' {
		return errors.New("expected no hyphen at either end")
	}
	return nil
}

// isNumber reports whether an address parser somewhere reads the label as a
// number: all digits, or "0x" and hexadecimal digits, of which there may be
// none.
func isNumber(s string) bool {
	hex, ok := strings.CutPrefix(s, "0x")
	if !ok {
		return isNumeric(s)
	}
	for i := range len(hex) {
		if ('0' > hex[i] || hex[i] > '9') && ('a' > hex[i] || hex[i] > 'f') {
			return false
		}
	}
	return true
}

func isNumeric(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func lowerASCII(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
