// Package memory is the module tenancy.limiters.memory, which counts requests in
// this process.
package memory

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/memory"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
)

func init() { caddy.RegisterModule(new(Limiter)) }

// Limiter counts requests in this process: exact for one gateway, for at most a
// million clients. Further ones share counts, which refuses too much rather than too
// little. The counts are kept in Caddy's storage over a restart. It is what counts
// when no limiter is configured.
type Limiter struct{}

// CaddyModule returns the module's identity.
func (*Limiter) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tenancy.limiters.memory", New: func() caddy.Module { return new(Limiter) }}
}

// OpenLimiter implements tenancy.LimiterModule.
func (*Limiter) OpenLimiter() (limit.Limiter, error) { return memory.New(memory.Options{}), nil }

// UnmarshalCaddyfile reads the option, which has no arguments:
//
//	memory
func (*Limiter) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() || d.NextBlock(d.Nesting()) {
		return d.ArgErr()
	}
	return nil
}

var (
	_ tenancy.LimiterModule = (*Limiter)(nil)
	_ caddyfile.Unmarshaler = (*Limiter)(nil)
)
