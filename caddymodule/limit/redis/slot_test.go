package redis_test

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/limitertest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redis"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redistest"
)

// inProgress begins a request, however often the store has to be asked.
func inProgress(t testing.TB, r *redis.Limiter, p *limit.Policy) *limit.Slot {
	t.Helper()
	var slot *limit.Slot
	redistest.Await(t, func() bool {
		d, err := r.Take(t.Context(), acme, p, 1)
		slot = d.Slot
		t.Cleanup(slot.Release)
		return err == nil && d.Allowed && !d.Degraded
	})
	return slot
}

// The word that a request has ended is lost with the connection it was sent on. It
// used to be said once, and the slot stayed taken for a minute.
func TestASlotThatEndsWhileTheStoreIsAwayComesBackWithIt(t *testing.T) {
	for what, away := range map[string]func(*redistest.Server){
		"paused": func(s *redistest.Server) { s.Do("CLIENT", "PAUSE", 300, "ALL") },
		"frozen": func(s *redistest.Server) {
			s.Freeze()
			time.AfterFunc(300*time.Millisecond, s.Thaw)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			p := policyFor(t, "2/concurrent tenant:2/concurrent", limit.Deny)
			r := newRedis(t, redis.Options{URL: server.URL()}) // gives up after 100 ms
			first, second := inProgress(t, r, p), inProgress(t, r, p)
			away(server)
			first.Release()
			second.Release()
			ended := time.Now()
			other := newRedis(t, redis.Options{URL: server.URL(), Budget: patient})
			inProgress(t, other, p)
			inProgress(t, other, p)
			if took := time.Since(ended); took > 20*time.Second {
				t.Errorf("the slots came back after %s, as those of a gateway that crashed", took)
			}
		})
	}
}

// A reload that changes an option closes one limiter and opens another, while
// requests go on that the first one admitted.
func TestRequestsInProgressOutliveTheirLimiter(t *testing.T) {
	server := redistest.Start(t)
	p := policyFor(t, "2/concurrent", limit.Deny)
	opts := redis.Options{URL: server.URL(), Budget: patient}
	r := newRedis(t, opts)
	redis.SetSlotLifetime(r, 600*time.Millisecond)
	first := inProgress(t, r, p)
	inProgress(t, r, p)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	next := newRedis(t, opts)
	// Long after the store would have forgotten a gateway that says nothing.
	end := time.Now().Add(2 * time.Second)
	redistest.Await(t, func() bool {
		if admitted, _, _ := spend(t, next, acme, p, 1); admitted != 0 {
			t.Fatal("a third request was admitted while two were in progress")
		}
		return time.Now().After(end)
	})
	first.Release()
	inProgress(t, next, p)
	if admitted, _, _ := spend(t, next, acme, p, 1); admitted != 0 {
		t.Error("two requests were admitted after one had ended")
	}
}

// What the store lost comes back with the next thing that a gateway says.
func TestAFlushDoesNotForgetRequestsInProgress(t *testing.T) {
	server := redistest.Start(t)
	p := policyFor(t, "3/concurrent", limit.Deny)
	r := newRedis(t, redis.Options{URL: server.URL(), Budget: patient})
	inProgress(t, r, p)
	inProgress(t, r, p)
	server.Do("FLUSHALL")
	if admitted, _, _ := spend(t, r, acme, p, 3); admitted != 1 {
		t.Errorf("%d admitted beside two in progress of three, expected 1", admitted)
	}
}

// Over gateways and clients that share a tenant's total, there are never more in
// progress than allowed, and in the end there are none.
func TestRequestsInProgressAreCountedOverGatewaysAndClients(t *testing.T) {
	server := redistest.Start(t)
	p := policyFor(t, "4/concurrent tenant:6/concurrent", limit.Deny)
	opts := redis.Options{URL: server.URL(), Budget: patient}
	var running, most, admitted atomic.Int64
	var wg sync.WaitGroup
	for range 3 {
		r := newRedis(t, opts)
		for client := range 4 {
			key := limitertest.Client("acme", fmt.Sprintf("192.0.2.%d", client))
			wg.Go(func() {
				for range 200 {
					d, err := r.Take(t.Context(), key, p, 1)
					if err != nil {
						t.Error(err)
						return
					}
					if !d.Allowed {
						continue
					}
					admitted.Add(1)
					now := running.Add(1)
					for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); {
						seen = most.Load()
					}
					runtime.Gosched()
					running.Add(-1)
					d.Slot.Release()
				}
			})
		}
	}
	wg.Wait()
	if most.Load() > 6 || admitted.Load() < 100 {
		t.Errorf("%d in progress at once of 6, %d admitted of 2400", most.Load(), admitted.Load())
	}
	r := newRedis(t, opts)
	for range 4 {
		inProgress(t, r, p)
	}
	t.Logf("%d in progress at once, %d admitted", most.Load(), admitted.Load())
}
