package memory_test

import (
	"sync"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/limitertest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/memory"
)

// fakeClock stands still until it is moved.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

var acme = limitertest.Client("acme", "203.0.113.7")

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
	limitertest.Suite{
		New: func(t *testing.T) (limit.Limiter, limitertest.Clock) {
			clock := newFakeClock()
			m := memory.New(memory.Options{Now: clock.Now})
			t.Cleanup(func() { _ = m.Close() })
			return m, clock
		},
		Exact: true,
	}.Run(t)
}
