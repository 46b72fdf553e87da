package redis

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
)

// UnmarshalCaddyfile reads the option:
//
//	redis [<url>] {
//	    namespace  <prefix>
//	    budget     <duration>
//	    replicas   <n>
//	    lease_from <quota>|never
//	}
func (l *Limiter) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() {
		l.URL = d.Val()
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := l.unmarshalOption(d); err != nil {
			return err
		}
	}
	return nil
}

func (l *Limiter) unmarshalOption(d *caddyfile.Dispenser) (err error) {
	switch d.Val() {
	case "namespace":
		if !d.AllArgs(&l.Namespace) {
			return d.ArgErr()
		}
	case "budget":
		return tenancy.DurationArg(d, &l.Budget)
	case "replicas":
		var n int64
		n, err = tenancy.NumberArg(d, 10_000)
		l.Replicas = int(n)
	case "lease_from":
		return l.unmarshalLeaseFrom(d)
	default:
		return d.Errf("redis: unknown option %q; expected namespace, budget, replicas or lease_from", d.Val())
	}
	return err
}

func (l *Limiter) unmarshalLeaseFrom(d *caddyfile.Dispenser) (err error) {
	var from string
	if !d.AllArgs(&from) {
		return d.Err("lease_from: expected a quota, or never")
	}
	if l.LeaseFrom = -1; from != "never" {
		l.LeaseFrom, err = tenancy.Number(d, 1<<53-1)
	}
	return err
}

var _ caddyfile.Unmarshaler = (*Limiter)(nil)
