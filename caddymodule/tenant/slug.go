package tenant

import "fmt"

// MaxSlugLen is the longest slug in bytes: the longest DNS label (RFC 1035,
// section 2.3.4).
const MaxSlugLen = 63

// Slug is a tenant's public name: lower-case ASCII letters, digits and inner
// hyphens, 1 to 63 bytes, no reserved word (reserved.txt). That makes it safe, unescaped, as
// a host label, a file name, part of a schema name and a metric label.
//
// Only [ParseSlug] makes one. The zero value is no tenant. Slugs are
// comparable and fit as map keys.
type Slug struct{ s string }

// ParseSlug checks s byte by byte and returns it as a Slug. It neither trims
// nor folds: "Acme" is an error, not "acme", because two spellings of one name
// are how a check and the code behind it come to disagree. Hosts are folded
// before, by [NormalizeHost].
//
// The error wraps [ErrMalformed] and says what was expected. A valid slug
// costs no allocation.
func ParseSlug(s string) (Slug, error) {
	if err := checkLabel(s); err != nil {
		return Slug{}, fmt.Errorf("parsing slug %q: %w: %w", clip(s), ErrMalformed, err)
	}
	// RFC 5891, section 4.2.3.1: "--" in the third and fourth place marks an
	// encoded name (xn--), which could look like another tenant's.
	if len(s) >= 4 && s[2] == '-' && s[3] == '-' {
		return Slug{}, fmt.Errorf("parsing slug %q: %w: hyphens in places three and four are reserved for encoded names", clip(s), ErrMalformed)
	}
	if reserved[s] {
		return Slug{}, fmt.Errorf("parsing slug %q: %w: the word is reserved", s, ErrMalformed)
	}
	return Slug{s}, nil
}

// MustSlug is ParseSlug for constants in tests and examples; it panics on an
// invalid one.
func MustSlug(s string) Slug {
	slug, err := ParseSlug(s)
	if err != nil {
		panic(err)
	}
	return slug
}

// String returns the slug's text, empty for the zero value.
func (s Slug) String() string { return s.s }

// IsZero reports whether s is the zero value, which names no tenant.
func (s Slug) IsZero() bool { return s.s == "" }

// MarshalText implements encoding.TextMarshaler.
func (s Slug) MarshalText() ([]byte, error) { return []byte(s.s), nil }

// UnmarshalText implements encoding.TextUnmarshaler through [ParseSlug].
func (s *Slug) UnmarshalText(b []byte) error {
	slug, err := ParseSlug(string(b))
	if err != nil {
		return err
	}
	*s = slug
	return nil
}

// clip keeps hostile input from filling an error message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
