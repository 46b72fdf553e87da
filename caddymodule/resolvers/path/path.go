// Package path finds tenants by the first segment of the path:
// tenancy.resolvers.path.
package path

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
)

func init() { caddy.RegisterModule(new(Path)) }

// Path takes the first segment of the path as the tenant.
type Path struct {
	// Leave that segment in the path. Default: it is removed, and sent to the
	// backend as X-Forwarded-Prefix.
	Keep bool `json:"keep,omitempty"`
}

// CaddyModule returns the module's identity.
func (*Path) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tenancy.resolvers.path", New: func() caddy.Module { return new(Path) }}
}

// OpenResolver implements [tenancy.ResolverModule].
func (p *Path) OpenResolver() (resolve.Resolver, error) { return resolve.NewPath(p.Keep), nil }

// UnmarshalCaddyfile reads
//
//	path [keep]
func (p *Path) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() {
		if d.Val() != "keep" {
			return d.Errf("path: unknown option %q; expected 'keep' or nothing", d.Val())
		}
		p.Keep = true
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}

var (
	_ tenancy.ResolverModule = (*Path)(nil)
	_ caddyfile.Unmarshaler  = (*Path)(nil)
)
