package redis

import (
	"sync"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

// Streams end when the gateway does, and their slots with them. A WaitGroup
// panicked where sending began again while Close waited for its end.
func TestSlotsMayBeReleasedWhileALimiterCloses(t *testing.T) {
	r, err := New(Options{URL: "redis://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-closed:
					return
				default:
					p := simPolicy(t, "5/concurrent")
					c := &call{p: p, ask: window.Ask{Unit: 1}, waiters: []*waiter{{}}, slots: r.claim(simKey(1), p, 1)}
					c.verdict.Granted = 1
					r.grant(c)
					c.waiters[0].slot.Release()
				}
			}
		})
	}
	for range 200 {
		_ = r.Close()
		r.closed.Store(false)
	}
	close(closed)
	wg.Wait()
}
