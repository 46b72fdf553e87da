// Package header finds tenants by a request header: tenancy.resolvers.header.
package header

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
)

func init() { caddy.RegisterModule(new(Header)) }

// DefaultName is the tenant header's usual name.
const DefaultName = "X-Tenant-ID"

// Header takes the tenant from a header, which no backend gets to see.
type Header struct {
	// The header's name. Default: X-Tenant-ID.
	Name string `json:"name,omitempty"`
}

// CaddyModule returns the module's identity.
func (*Header) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tenancy.resolvers.header", New: func() caddy.Module { return new(Header) }}
}

// OpenResolver implements [tenancy.ResolverModule].
func (h *Header) OpenResolver() (resolve.Resolver, error) {
	if h.Name == "" {
		return resolve.NewHeader(DefaultName)
	}
	return resolve.NewHeader(h.Name)
}

// UnmarshalCaddyfile reads
//
//	header [<name>]
func (h *Header) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	h.Name = DefaultName
	if d.NextArg() {
		h.Name = d.Val()
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}

var (
	_ tenancy.ResolverModule = (*Header)(nil)
	_ caddyfile.Unmarshaler  = (*Header)(nil)
)
