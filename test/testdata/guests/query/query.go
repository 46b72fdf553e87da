// Package query is a resolver that takes the tenant from a query parameter.
package query

import (
	"fmt"
	"net/http"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func init() { caddy.RegisterModule(new(Query)) }

// Query takes the tenant from a query parameter.
type Query struct {
	// The parameter's name.
	Parameter string `json:"parameter"`
}

// CaddyModule returns the module's identity.
func (*Query) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tenancy.resolvers.query", New: func() caddy.Module { return new(Query) }}
}

// OpenResolver implements tenancy.ResolverModule.
func (q *Query) OpenResolver() (resolve.Resolver, error) { return q, nil }

// Name implements resolve.Resolver.
func (*Query) Name() string { return "query" }

// Resolve implements resolve.Resolver. A parameter that is there twice is read in two
// ways by two programs, so that nobody is served.
func (q *Query) Resolve(r *http.Request, l tenant.Lookup) (resolve.Answer, error) {
	values := r.URL.Query()[q.Parameter]
	if len(values) == 0 {
		return resolve.Answer{}, tenant.ErrMissing
	}
	if len(values) > 1 {
		return resolve.Answer{}, fmt.Errorf("reading parameter %q: %w: expected one", q.Parameter, tenant.ErrMalformed)
	}
	slug, err := tenant.ParseSlug(values[0])
	if err != nil {
		return resolve.Answer{}, err
	}
	a := resolve.Answer{Tenant: l.BySlug(slug), Slug: slug, Source: "query"}
	if a.Tenant == nil {
		return a, tenant.ErrNotFound
	}
	return a, nil
}

// UnmarshalCaddyfile reads
//
//	query <parameter>
func (q *Query) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if !d.AllArgs(&q.Parameter) {
		return d.Err("query: expected the name of a parameter")
	}
	return nil
}

var (
	_ tenancy.ResolverModule = (*Query)(nil)
	_ caddyfile.Unmarshaler  = (*Query)(nil)
)
