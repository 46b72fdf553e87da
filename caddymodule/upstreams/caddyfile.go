package upstreams

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/dial"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// UnmarshalCaddyfile reads the source of upstreams in a reverse_proxy:
//
//	dynamic tenant [<default...>] {
//	    default <host:port...>
//	    allow   <range|address|name|.domain...>
//	}
func (u *Upstreams) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if err := u.unmarshalDefault(d, d.RemainingArgs()); err != nil {
		return err
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		args := d.RemainingArgs()
		if len(args) == 0 && (option == "default" || option == "allow") {
			return d.Errf("%s: expected at least one address", option)
		}
		switch option {
		case "default":
			if err := u.unmarshalDefault(d, args); err != nil {
				return err
			}
		case "allow":
			u.Allow = append(u.Allow, args...)
			if _, err := dial.New(u.Allow); err != nil {
				return d.WrapErr(err)
			}
		default:
			return d.Errf("dynamic tenant: unknown option %q; expected default or allow", option)
		}
	}
	return nil
}

func (u *Upstreams) unmarshalDefault(d *caddyfile.Dispenser, args []string) error {
	for _, text := range args {
		if strings.Contains(text, "{") {
			continue // what the placeholder stands for is known later
		}
		if _, err := tenant.ParseUpstream(text); err != nil {
			return d.WrapErr(err)
		}
	}
	u.Default = append(u.Default, args...)
	return nil
}

var _ caddyfile.Unmarshaler = (*Upstreams)(nil)
