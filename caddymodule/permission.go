package caddymodule

import (
	"context"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Permission allows on-demand certificates for the own domains of active
// tenants and for nothing else. It asks the index in memory and never does
// I/O, so that a flood of made-up names costs next to nothing.
type Permission struct {
	app *App
}

// CaddyModule returns the module's identity.
func (*Permission) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tls.permission.tenant", New: func() caddy.Module { return new(Permission) }}
}

// Provision finds the app.
func (p *Permission) Provision(ctx caddy.Context) error {
	var err error
	p.app, err = appOf(ctx, "permission tenant")
	return err
}

// CertificateAllowed returns nil if name is the domain of an active tenant.
func (p *Permission) CertificateAllowed(_ context.Context, name string) error {
	host, err := tenant.NormalizeHost(name)
	if err == nil {
		err = tenant.Check(p.app.registry.value.Snapshot().ByHost(host))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", caddytls.ErrPermissionDenied, err)
	}
	return nil
}

// UnmarshalCaddyfile reads the permission, which has no options:
//
//	on_demand_tls {
//	    permission tenant
//	}
func (p *Permission) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() {
		return d.ArgErr()
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("unknown option %q; permission tenant has none", d.Val())
	}
	return nil
}

var (
	_ caddy.Provisioner           = (*Permission)(nil)
	_ caddytls.OnDemandPermission = (*Permission)(nil)
	_ caddyfile.Unmarshaler       = (*Permission)(nil)
)
