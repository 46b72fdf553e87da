package ratelimit_test

import (
	"sync"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit/limitertest"
)

// fakeClock stands still until it is moved.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newFakeClock() *fakeClock {
	return &fakeClock{now: time.Date(2026, 1, 31, 23, 58, 0, 0, time.UTC)}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestMemoryConforms(t *testing.T) {
	limitertest.Run(t, func(t *testing.T) (ratelimit.Limiter, limitertest.Clock) {
		clock := newFakeClock()
		m := ratelimit.NewMemory(ratelimit.MemoryOptions{Now: clock.Now})
		t.Cleanup(func() { _ = m.Close() })
		return m, clock
	})
}
