package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// parseApp reads the global option:
//
//	tenancy {
//	    source sqlite|postgres|file|http <address> {
//	        query     <sql>
//	        interval  <duration>
//	        header    <name> <value>
//	        long_poll <duration>
//	        max_stale <duration>
//	    }
//	    redis [<url>] {
//	        namespace <prefix>
//	        budget    <duration>
//	        replicas  <n>
//	        lease_from <n>|never
//	    }
//	    plan <name> <limits...>
//	    plan <name> {
//	        window           <limits...>
//	        per              client|tenant <limits...>
//	        calendar         <n>/hour|day|month[@<day>]
//	        concurrent       <n>
//	        on_store_failure local_share|deny|open
//	    }
//	    default_plan <name>
//	    identity_key <file> {
//	        audience <name>
//	        issuer   <name>
//	        ttl      <duration>
//	    }
//	    audit file <path> {
//	        roll_size <bytes>
//	        roll_keep <n>
//	    }
//	    audit log
//	    audit http <url>
//	    guesses <limit>|off
//	    max_tenant_series <n>
//	}
//
// A limit is a number of requests and a time, as in 100/1h. It counts per
// tenant and client unless it is said to be per tenant. A redis without a
// URL, as {$REDIS_URL} leaves it when the variable is not set, counts in this
// process.
func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		d.Next() // to have a line to name
		return nil, d.Err("tenancy: the global option is given twice; write everything into one")
	}
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "tenancy", Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile reads the global option; see parseApp.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the option's name
	if d.NextArg() {
		return d.ArgErr()
	}
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if seen[option] && option != "plan" && option != "audit" {
			return d.Errf("tenancy: %s: given twice", option)
		}
		seen[option] = true
		var err error
		switch option {
		case "source":
			err = a.Source.unmarshal(d)
		case "redis":
			err = a.Limiter.unmarshal(d)
		case "plan":
			err = a.unmarshalPlan(d)
		case "default_plan":
			if !d.AllArgs(&a.DefaultPlan) {
				err = d.ArgErr()
			}
		case "identity_key":
			err = a.Identity.unmarshal(d)
		case "audit":
			err = a.Audit.unmarshal(d)
		case "guesses":
			if !d.AllArgs(&a.Guesses.Limit) {
				return d.Err("guesses: expected a limit, as in 300/1m, or off")
			}
			if _, err := a.Guesses.parse(); err != nil {
				return d.WrapErr(err)
			}
		case "max_tenant_series":
			if !d.NextArg() {
				return d.ArgErr()
			}
			var n int64
			n, err = positiveInt(d, 1_000_000)
			a.MaxTenantSeries = int(n)
		default:
			err = d.Errf("tenancy: unknown option %q; expected source, redis, plan, default_plan, identity_key, audit, guesses or max_tenant_series", option)
		}
		if err != nil {
			return err
		}
	}
	if a.Source.Type == "" {
		return d.Err("tenancy: no source of tenants; " + expectedSource)
	}
	return nil
}

func (c *LimiterConfig) unmarshal(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		c.Redis = d.Val()
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch d.Val() {
		case "namespace":
			if !d.AllArgs(&c.Namespace) {
				err = d.ArgErr()
			}
		case "budget":
			err = durationArg(d, &c.Budget)
		case "replicas":
			var n int64
			n, err = positiveArg(d, 10_000)
			c.Replicas = int(n)
		case "lease_from":
			var from string
			if !d.AllArgs(&from) {
				err = d.Err("lease_from: expected a quota, or never")
			} else if c.LeaseFrom = -1; from != "never" {
				c.LeaseFrom, err = positiveInt(d, 1<<53-1)
			}
		default:
			err = d.Errf("redis: unknown option %q; expected namespace, budget, replicas or lease_from", d.Val())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *IdentityConfig) unmarshal(d *caddyfile.Dispenser) error {
	if !d.AllArgs(&c.Key) {
		return d.Err("identity_key: expected the path of a key file")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "audience":
			if !d.AllArgs(&c.Audience) {
				return d.ArgErr()
			}
		case "issuer":
			if !d.AllArgs(&c.Issuer) {
				return d.ArgErr()
			}
		case "ttl":
			if err := durationArg(d, &c.TTL); err != nil {
				return err
			}
		default:
			return d.Errf("identity_key: unknown option %q; expected audience, issuer or ttl", d.Val())
		}
	}
	return nil
}

var _ caddyfile.Unmarshaler = (*App)(nil)
