package resolve

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Path finds the tenant by the first segment of the path. Make one with
// [NewPath].
type Path struct{ keep bool }

// NewPath returns a resolver for paths as in "/acme-pets/api/pets". With keep, the
// answer's Path has the prefix still.
func NewPath(keep bool) *Path { return &Path{keep} }

// Name returns "path".
func (p *Path) Name() string { return "path" }

// Resolve reads the escaped path once, and both the tenant and what is forwarded
// come from that reading: for every request but "/slug" alone, which forwards
// "/", Prefix followed by the escaped rest is the request's escaped path, byte
// for byte.
//
// The first segment must be the slug as it stands: a percent sign, a semicolon,
// an upper-case letter or an empty segment is [tenant.ErrMalformed]. So is a
// rest that could climb out of the prefix, or be read as another host, in the
// eyes of some backend (rest.go has the list). An encoded slash is forwarded as
// it is.
// A path of "/" names nobody.
func (p *Path) Resolve(r *http.Request, l tenant.Lookup) (Answer, error) {
	escaped, err := escapedPath(r.URL)
	if err != nil {
		return Answer{}, err
	}
	if escaped == "" || escaped == "/" {
		return Answer{}, tenant.ErrMissing
	}
	if escaped[0] != '/' {
		return Answer{}, malformedPath("expected a slash first")
	}
	segment, _, _ := strings.Cut(escaped[1:], "/")
	slug, err := tenant.ParseSlug(segment)
	if err != nil {
		return Answer{}, err
	}
	prefix, rest := escaped[:1+len(segment)], escaped[1+len(segment):]
	if err := checkRest(rest); err != nil {
		return Answer{}, err
	}
	a, err := find(l, slug, "path")
	a.Prefix, a.Path = prefix, "/"
	switch {
	case p.keep:
		a.Path, a.RawPath = r.URL.Path, r.URL.RawPath
	case rest != "":
		// The segment holds no escape, so it is as long in the decoded path.
		a.Path = r.URL.Path[len(prefix):]
		if r.URL.RawPath == escaped {
			a.RawPath = rest
		}
	}
	return a, err
}

// escapedPath returns the one spelling of the path that will be sent on. A URL
// carries the path twice, decoded and as received; where Go would quietly drop
// the received one, an encoded slash would turn into a separator, so then the
// path is refused, unless the received one has no escapes to lose.
func escapedPath(u *url.URL) (string, error) {
	escaped := u.EscapedPath()
	switch {
	case u.RawPath == "" || u.RawPath == escaped:
		return escaped, nil
	case u.RawPath != u.Path || strings.ContainsAny(u.RawPath, "%#"):
		return "", malformedPath("its two spellings differ")
	}
	return escaped, nil
}

func malformedPath(why string) error {
	return fmt.Errorf("reading path: %w: %s", tenant.ErrMalformed, why)
}

var _ Resolver = (*Path)(nil)
