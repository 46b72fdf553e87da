// Package key finds tenants by the API key that a request carries:
// tenancy.resolvers.key.
package key

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
)

func init() { caddy.RegisterModule(new(Key)) }

// Key takes the tenant of the API key that the request carries. It needs a
// `tenant_auth` with `api_keys`, which also refuses keys that are not good.
type Key struct{ app *tenancy.App }

// CaddyModule returns the module's identity.
func (*Key) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tenancy.resolvers.key", New: func() caddy.Module { return new(Key) }}
}

// Provision has the API keys read.
func (k *Key) Provision(ctx caddy.Context) (err error) {
	if k.app, err = tenancy.AppOf(ctx, "tenant"); err != nil {
		return err
	}
	if _, err := k.app.OpenCredentials(); err != nil {
		return fmt.Errorf("tenant: %w", err)
	}
	k.app.NamesByKey()
	return nil
}

// OpenResolver implements [tenancy.ResolverModule].
func (k *Key) OpenResolver() (resolve.Resolver, error) { return resolve.NewKey(k.app.KeyOwner), nil }

// UnmarshalCaddyfile reads
//
//	key
func (*Key) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}

var (
	_ caddy.Provisioner      = (*Key)(nil)
	_ tenancy.ResolverModule = (*Key)(nil)
	_ caddyfile.Unmarshaler  = (*Key)(nil)
)
