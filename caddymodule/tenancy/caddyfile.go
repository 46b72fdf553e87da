package tenancy

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/dial"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/attempts"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/plans"
)

// ParseApp reads the global option:
//
//	tenancy {
//	    source <name> ...
//	    limiter <name> ...
//	    redis [<url>] ...
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
//	    audit <name> ...
//	    guesses <limit>|off
//	    allow_dial <range|address|name|.domain...>
//	    max_tenant_series <n>
//	}
//
// What follows the name of a source, a limiter and a sink of the audit log is read by
// the module tenancy.sources.NAME, tenancy.limiters.NAME or tenancy.sinks.NAME. `redis`
// is short for `limiter redis`. A limit is a number of requests and a time, as in
// 100/1h. It counts per tenant and client unless it is said to be per tenant.
func ParseApp(d *caddyfile.Dispenser, existing any) (any, error) {
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

// UnmarshalCaddyfile reads the global option; see ParseApp.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the option's name
	if d.NextArg() {
		return d.ArgErr()
	}
	a.Plans = make(map[string]plans.Config)
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if seen[option] && option != "plan" && option != "audit" {
			return d.Errf("tenancy: %s: given twice", option)
		}
		if seen[option] = true; seen["redis"] && seen["limiter"] {
			return d.Err("tenancy: 'redis' and 'limiter' both say where requests are counted; expected one of them")
		}
		if err := a.unmarshalOption(d, option); err != nil {
			return err
		}
	}
	if len(a.SourceRaw) == 0 {
		return d.Err("tenancy: no source of tenants; " + ExpectedSource)
	}
	return nil
}

func (a *App) unmarshalOption(d *caddyfile.Dispenser, option string) (err error) {
	switch option {
	case "source":
		a.SourceRaw, err = unmarshalGuest(d, "tenancy.sources", "source: expected a type (sqlite, postgres, file or http) and an address")
	case "limiter":
		a.LimiterRaw, err = unmarshalGuest(d, "tenancy.limiters", "limiter: expected a name, as in memory or redis")
	case "redis":
		a.LimiterRaw, err = unmarshalModule(d, "tenancy.limiters", "redis")
	case "plan":
		err = plans.Unmarshal(d, a.Plans)
	case "default_plan":
		if !d.AllArgs(&a.DefaultPlan) {
			err = d.ArgErr()
		}
	case "identity_key":
		err = a.Identity.unmarshal(d)
	case "audit":
		var sink json.RawMessage
		sink, err = unmarshalGuest(d, "tenancy.sinks", "audit: expected 'file PATH', 'log' or 'http URL', each at most once")
		for _, other := range a.AuditRaw {
			if nameOf(other) == nameOf(sink) {
				return d.Err("audit: expected 'file PATH', 'log' or 'http URL', each at most once")
			}
		}
		a.AuditRaw = append(a.AuditRaw, sink)
	case "guesses":
		if !d.AllArgs(&a.Guesses) {
			return d.Err("guesses: expected a limit, as in 300/1m, or off")
		}
		if _, err := attempts.Parse("tenancy: guesses", a.Guesses); err != nil {
			return d.WrapErr(err)
		}
	case "allow_dial":
		if a.AllowDial = d.RemainingArgs(); len(a.AllowDial) == 0 {
			return d.Err("allow_dial: expected at least one range, address, name or .domain")
		}
		if _, err := dial.New(a.AllowDial); err != nil {
			return d.WrapErr(err)
		}
	case "max_tenant_series":
		var n int64
		n, err = NumberArg(d, 1_000_000)
		a.MaxTenantSeries = int(n)
	default:
		err = d.Errf("tenancy: unknown option %q; expected source, limiter, redis, plan, default_plan, identity_key, audit, guesses, allow_dial or max_tenant_series", option)
	}
	return err
}

// unmarshalGuest reads the module whose name is the option's first argument; expected
// is what is said if there is none, and begins with the option.
func unmarshalGuest(d *caddyfile.Dispenser, namespace, expected string) (json.RawMessage, error) {
	if !d.NextArg() {
		return nil, d.Err(expected)
	}
	name, option := d.Val(), strings.SplitN(expected, ":", 2)[0]
	if _, err := caddy.GetModule(namespace + "." + name); err != nil {
		return nil, d.Errf("%s: unknown type %q; expected %s", option, name, Guests(namespace))
	}
	return unmarshalModule(d, namespace, name)
}

// Guests lists the modules of a namespace for people: "a, b or c".
func Guests(namespace string) string {
	var names []string
	for _, m := range caddy.GetModules(namespace) {
		names = append(names, m.ID.Name())
	}
	slices.Sort(names)
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// unmarshalModule lets the module read what follows its name, at which the dispenser
// is.
func unmarshalModule(d *caddyfile.Dispenser, namespace, name string) (json.RawMessage, error) {
	guest, err := caddyfile.UnmarshalModule(d, namespace+"."+name)
	if err != nil {
		return nil, err
	}
	return caddyconfig.JSONModuleObject(guest, "type", name, nil), nil
}

// nameOf is the name of the module in the object.
func nameOf(object json.RawMessage) string {
	var named struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(object, &named) // made by unmarshalModule
	return named.Type
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
			if err := DurationArg(d, &c.TTL); err != nil {
				return err
			}
		default:
			return d.Errf("identity_key: unknown option %q; expected audience, issuer or ttl", d.Val())
		}
	}
	return nil
}

var _ caddyfile.Unmarshaler = (*App)(nil)
