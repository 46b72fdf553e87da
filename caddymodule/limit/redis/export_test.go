package redis

import (
	"sync/atomic"
	"time"
)

// GatewayClock lets a test move the clock of one gateway forward.
type GatewayClock struct{ offset atomic.Int64 }

// Advance moves the clock.
func (c *GatewayClock) Advance(d time.Duration) { c.offset.Add(d.Microseconds()) }

// ClockOf makes r's own clock movable. It must be called before r is used.
func ClockOf(r *Limiter) *GatewayClock {
	c := new(GatewayClock)
	now := r.now
	r.now = func() int64 { return now() + c.offset.Load() }
	return c
}

// Held is the number of permits in hand.
func (r *Limiter) Held() (n int64) {
	now := r.now()
	for i := range r.entries.shards {
		s := &r.entries.shards[i]
		s.mu.Lock()
		for _, e := range s.entries {
			n += e.cache.inHand(now)
		}
		s.mu.Unlock()
	}
	return n
}

// BreakerOpen tells whether the store is not being asked at present.
func (r *Limiter) BreakerOpen() bool {
	for i := range r.groups {
		g := &r.groups[i]
		g.breaker.mu.Lock()
		open := g.breaker.open
		g.breaker.mu.Unlock()
		if open {
			return true
		}
	}
	return false
}

// SetSlotLifetime changes how long the store believes r. It must be called before r
// is used.
func SetSlotLifetime(r *Limiter, d time.Duration) { r.slots.lifetime = d }
