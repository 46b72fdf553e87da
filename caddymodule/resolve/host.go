package resolve

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Host finds the tenant by the request's host: exactly one label under a base
// domain, or a domain of the tenant's own. Make one with [NewHost].
type Host struct {
	base   string // "petstore.localhost"
	suffix string // ".petstore.localhost"
}

// NewHost returns a resolver for the hosts right under base, which is a plain
// domain name: no wildcard, no port. The error says what was expected.
func NewHost(base string) (*Host, error) {
	if rest, ok := strings.CutPrefix(base, "*."); ok {
		return nil, fmt.Errorf("reading base domain %q: expected the name without the wildcard, %q", base, rest)
	}
	if strings.Contains(base, ":") {
		return nil, fmt.Errorf("reading base domain %q: expected a domain name without scheme and port", base)
	}
	name, err := tenant.NormalizeHost(base)
	if err != nil {
		return nil, fmt.Errorf("reading base domain %q: expected a domain name: %w", base, err)
	}
	return &Host{base: name, suffix: "." + name}, nil
}

// Name returns "host".
func (h *Host) Name() string { return "host" }

// Base returns the base domain in the form of [tenant.NormalizeHost].
func (h *Host) Base() string { return h.base }

// Resolve reads r.Host and nothing else; forwarding headers are never believed.
//
// A host right under the base domain names the tenant of that slug. A host
// further down, or with a label that is no slug, is [tenant.ErrMalformed]: the
// whole domain is the platform's, and nobody can own a name in it. The base
// domain itself and a foreign host that is no tenant's own domain are
// [tenant.ErrMissing].
func (h *Host) Resolve(r *http.Request, l tenant.Lookup) (Answer, error) {
	host, err := tenant.NormalizeHost(r.Host)
	if err != nil {
		return Answer{}, err
	}
	label, under := strings.CutSuffix(host, h.suffix)
	if under {
		slug, err := tenant.ParseSlug(label)
		if err != nil {
			return Answer{}, err
		}
		return find(l, slug, "host")
	}
	if host == h.base {
		return Answer{}, tenant.ErrMissing
	}
	t := l.ByHost(host)
	if t == nil {
		return Answer{}, tenant.ErrMissing
	}
	return Answer{Tenant: t, Slug: t.Slug, Source: "domain"}, nil
}

// find looks the slug up. Errors for unknown names are bare, so that a flood of
// made-up names costs no memory.
func find(l tenant.Lookup, slug tenant.Slug, source string) (Answer, error) {
	a := Answer{Tenant: l.BySlug(slug), Slug: slug, Source: source}
	if a.Tenant == nil {
		return a, tenant.ErrNotFound
	}
	return a, nil
}

var _ Resolver = (*Host)(nil)
