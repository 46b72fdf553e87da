// Package host finds tenants by the request's host: tenancy.resolvers.host.
package host

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
)

func init() { caddy.RegisterModule(new(Host)) }

// Host takes the tenant from the request's host.
type Host struct {
	// The domain whose direct subdomains are tenants, as in `petstore.localhost`. A
	// tenant's own domain is recognised too.
	Domain string `json:"domain"`
}

// CaddyModule returns the module's identity.
func (*Host) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tenancy.resolvers.host", New: func() caddy.Module { return new(Host) }}
}

// OpenResolver implements [tenancy.ResolverModule].
func (h *Host) OpenResolver() (resolve.Resolver, error) { return resolve.NewHost(h.Domain) }

// UnmarshalCaddyfile reads
//
//	host <domain>
func (h *Host) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if !d.AllArgs(&h.Domain) {
		return d.Err("host: expected one domain, as in petstore.localhost")
	}
	return nil
}

var (
	_ tenancy.ResolverModule = (*Host)(nil)
	_ caddyfile.Unmarshaler  = (*Host)(nil)
)
