package resolve

import (
	"fmt"
	"net/http"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Key finds the tenant by the API key that a request carries. Make one with
// [NewKey].
type Key struct {
	owner func(*http.Request) (tenant.Slug, error)
}

// NewKey returns a resolver that asks owner whose key a request carries. It
// returns the zero slug when there is no key, or one that is not good: such a
// key names nobody, and is the authentication's to refuse. An error means that
// nothing can be said. It does no I/O and is safe for concurrent use.
func NewKey(owner func(*http.Request) (tenant.Slug, error)) *Key { return &Key{owner} }

// Name returns "key".
func (k *Key) Name() string { return "key" }

// Resolve returns the tenant of the request's key, or [tenant.ErrMissing].
func (k *Key) Resolve(r *http.Request, l tenant.Lookup) (Answer, error) {
	slug, err := k.owner(r)
	switch {
	case err != nil:
		return Answer{}, fmt.Errorf("reading the API key: %w", err)
	case slug.IsZero():
		return Answer{}, tenant.ErrMissing
	}
	return find(l, slug, "key")
}

var _ Resolver = (*Key)(nil)
