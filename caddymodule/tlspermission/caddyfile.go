package tlspermission

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/attempts"
)

// UnmarshalCaddyfile reads the permission, in which everything has a default:
//
//	on_demand_tls {
//	    permission tenant {
//	        refusals  <n>/<duration>|off
//	        max_hosts <n>
//	    }
//	}
func (p *Permission) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() {
		return d.ArgErr()
	}
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if seen[option] {
			return d.Errf("permission tenant: %s: given twice", option)
		}
		seen[option] = true
		switch option {
		case "refusals":
			if !d.AllArgs(&p.Refusals) {
				return d.Err("refusals: expected one limit, as in 60/1m, or off")
			}
			if _, err := attempts.Parse("permission tenant: refusals", p.Refusals); err != nil {
				return d.WrapErr(err)
			}
		case "max_hosts":
			n, err := tenancy.NumberArg(d, 1000)
			if err != nil {
				return err
			}
			p.MaxHosts = int(n)
		default:
			return d.Errf("permission tenant: unknown option %q; expected refusals or max_hosts", option)
		}
	}
	return nil
}

var _ caddyfile.Unmarshaler = (*Permission)(nil)
