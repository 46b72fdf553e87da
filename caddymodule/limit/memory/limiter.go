// Package memory is a limiter that counts in this process.
package memory

import (
	"context"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

// maxKeys bounds the clients counted one by one, which take about 215 MB when all
// are in use. Further clients share counts until others are forgotten, which
// refuses too much rather than too little. Tenant totals have the same bound again.
const maxKeys = 1_000_000

// Options configures New. The zero value is usable.
type Options struct {
	// Now is the clock; nil means the system's, read monotonically, so that
	// a step of the wall clock neither forgets nor prolongs a window.
	Now func() time.Time

	maxKeys int // 0: as above
}

// Limiter counts in this process. It needs no goroutine and forgets keys by
// itself as their windows pass.
type Limiter struct {
	now     func() int64
	clients *table[limit.Key]
	tenants *table[string]
}

// New returns a limiter with nothing consumed.
func New(opts Options) *Limiter {
	if opts.maxKeys <= 0 {
		opts.maxKeys = maxKeys
	}
	return &Limiter{
		now:     microClock(opts.Now),
		clients: newTable[limit.Key](opts.maxKeys),
		tenants: newTable[string](opts.maxKeys),
	}
}

func microClock(now func() time.Time) func() int64 {
	if now != nil {
		return func() int64 { return now().UnixMicro() }
	}
	start := time.Now()
	base := start.UnixMicro()
	return func() int64 { return base + int64(time.Since(start)/time.Microsecond) }
}

// Take implements limit.Limiter. It never fails and does not look at the context.
func (m *Limiter) Take(_ context.Context, key limit.Key, p *limit.Policy, cost int64) (d limit.Decision, err error) {
	cost = max(1, cost)
	var v window.Verdict
	m.decide(key, p, window.Ask{Need: cost, Unit: cost, Want: cost}, &v)
	v.Fill(&d, p, v.Granted == cost)
	if d.Allowed && p.HasSlots() {
		d.Slot = limit.NewSlot(func() { m.vacate(key, p) })
	}
	return d, nil
}

// decide locks the counters of key, the tenant's before the client's, for the
// length of one decision.
func (m *Limiter) decide(key limit.Key, p *limit.Policy, a window.Ask, v *window.Verdict) {
	now := m.now()
	var counters window.Counters
	var tenants *shard[string]
	var clients *shard[limit.Key]
	if p.Names(limit.PerTenant) {
		tenants, counters[limit.PerTenant] = m.tenants.lock(key.Tenant, now)
	}
	if p.Names(limit.PerClient) {
		clients, counters[limit.PerClient] = m.clients.lock(key, now)
	}
	window.Decide(p, &counters, now, a, v)
	if clients != nil {
		clients.mu.Unlock()
	}
	if tenants != nil {
		tenants.mu.Unlock()
	}
}

// vacate ends a request in progress.
func (m *Limiter) vacate(key limit.Key, p *limit.Policy) {
	now := m.now()
	if p.NamesSlots(limit.PerTenant) {
		s, c := m.tenants.lock(key.Tenant, now)
		c.Vacate()
		s.mu.Unlock()
	}
	if p.NamesSlots(limit.PerClient) {
		s, c := m.clients.lock(key, now)
		c.Vacate()
		s.mu.Unlock()
	}
}

// Close implements limit.Limiter; there is nothing to release.
func (m *Limiter) Close() error { return nil }

var _ limit.Saver = (*Limiter)(nil)
