// Package dice is a limiter that refuses at random, for rehearsals of what clients do
// with a 429.
package dice

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func init() { caddy.RegisterModule(new(Dice)) }

// Dice refuses a share of all requests.
type Dice struct {
	// The share, from 0 to 1.
	Share float64 `json:"share"`
}

// CaddyModule returns the module's identity.
func (*Dice) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tenancy.limiters.dice", New: func() caddy.Module { return new(Dice) }}
}

// OpenLimiter implements tenancy.LimiterModule.
func (d *Dice) OpenLimiter() (limit.Limiter, error) { return d, nil }

// Take implements limit.Limiter: the first limit is the one that is said to refuse.
func (d *Dice) Take(_ context.Context, _ limit.Key, p *limit.Policy, _ int64) (limit.Decision, error) {
	decision := limit.Decision{Allowed: rand.Float64() >= d.Share, Len: len(p.Limits)}
	for i, l := range p.Limits {
		decision.States[i].Remaining = l.N - 1
	}
	if !decision.Allowed {
		decision.RetryAfter = time.Second
		decision.States[0] = limit.State{Violated: true, Reset: time.Second}
	}
	return decision, nil
}

// Close implements limit.Limiter.
func (*Dice) Close() error { return nil }

// UnmarshalCaddyfile reads
//
//	limiter dice <share>
func (d *Dice) UnmarshalCaddyfile(dispenser *caddyfile.Dispenser) error {
	dispenser.Next() // the module's name
	var share string
	if !dispenser.AllArgs(&share) {
		return dispenser.Err("dice: expected a share from 0 to 1")
	}
	var err error
	if d.Share, err = strconv.ParseFloat(share, 64); err != nil || d.Share < 0 || d.Share > 1 {
		return dispenser.Errf("dice: bad share %q: expected one from 0 to 1", share)
	}
	return nil
}

var (
	_ tenancy.LimiterModule = (*Dice)(nil)
	_ caddyfile.Unmarshaler = (*Dice)(nil)
)
