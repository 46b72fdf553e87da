package redis_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/limitertest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redis"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redistest"
)

// patient is a budget for tests of what the store answers, not of how long it
// takes: a busy machine must not look like a failing store.
const patient = 5 * time.Second

func newRedis(t testing.TB, opts redis.Options) *redis.Limiter {
	t.Helper()
	r, err := redis.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func policyFor(t testing.TB, limits string, f limit.FailurePolicy) *limit.Policy {
	t.Helper()
	list, err := limit.Parse(limits)
	if err != nil {
		t.Fatal(err)
	}
	p, err := limit.NewPolicy(list, f)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var acme = limitertest.Client("acme", "203.0.113.7")

// healthy waits until the store decides again.
func healthy(t testing.TB, r *redis.Limiter) {
	t.Helper()
	p := policyFor(t, "1000000/1h", limit.Open)
	redistest.Await(t, func() bool {
		d, err := r.Take(context.Background(), limitertest.Client("probe", "192.0.2.1"), p, 1)
		return err == nil && !d.Degraded
	})
}

// spend sends n requests and counts what became of them.
func spend(t testing.TB, r limit.Limiter, key limit.Key, p *limit.Policy, n int) (admitted, degraded, failed int) {
	t.Helper()
	for range n {
		d, err := r.Take(context.Background(), key, p, 1)
		t.Cleanup(d.Slot.Release)
		switch {
		case errors.Is(err, limit.ErrStoreUnavailable):
			failed++
		case err != nil:
			t.Fatalf("Take: %v, expected it to wrap ErrStoreUnavailable", err)
		case d.Allowed:
			admitted++
		}
		if d.Degraded {
			degraded++
			h := make(http.Header)
			if limit.WriteHeaders(h, p, d); len(h) != 0 {
				t.Fatalf("header fields while degraded: %v", h)
			}
		}
	}
	return admitted, degraded, failed
}

// failures are ways in which a store stops answering, and how it comes back.
var failures = []struct {
	name       string
	cause, end func(*redistest.Server)
}{
	{"down", func(s *redistest.Server) { s.Kill() }, func(s *redistest.Server) { s.Restart() }},
	{"frozen", func(s *redistest.Server) { s.Freeze() }, func(s *redistest.Server) { s.Thaw() }},
	{
		"paused",
		func(s *redistest.Server) { s.Do("CLIENT", "PAUSE", 600_000, "WRITE") },
		func(s *redistest.Server) { s.Do("CLIENT", "UNPAUSE") },
	},
	{
		"out of memory",
		func(s *redistest.Server) { s.Do("CONFIG", "SET", "maxmemory", 1) },
		func(s *redistest.Server) { s.Do("CONFIG", "SET", "maxmemory", 0) },
	},
	{
		"read-only",
		func(s *redistest.Server) { s.Do("REPLICAOF", "127.0.0.1", 1) },
		func(s *redistest.Server) { s.Do("REPLICAOF", "NO", "ONE") },
	},
}

func TestAStoreThatFailsIsReplacedByThePolicyUntilItIsBack(t *testing.T) {
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			server := redistest.Start(t)
			r := newRedis(t, redis.Options{URL: server.URL(), Replicas: 2})
			healthy(t, r)
			f.cause(server)

			// One of two gateways admits half of the quota, and no more.
			share := policyFor(t, "10/1h", limit.LocalShare)
			if admitted, degraded, failed := spend(t, r, acme, share, 30); admitted != 5 || degraded != 30 || failed != 0 {
				t.Errorf("local_share: %d of 30 admitted, %d degraded, %d failed; expected 5, 30, 0", admitted, degraded, failed)
			}
			open := policyFor(t, "10/1h", limit.Open)
			if admitted, degraded, failed := spend(t, r, acme, open, 30); admitted != 30 || degraded != 30 || failed != 0 {
				t.Errorf("open: %d of 30 admitted, %d degraded, %d failed; expected 30, 30, 0", admitted, degraded, failed)
			}
			deny := policyFor(t, "10/1h", limit.Deny)
			if admitted, degraded, failed := spend(t, r, acme, deny, 30); admitted != 0 || degraded != 0 || failed != 30 {
				t.Errorf("deny: %d of 30 admitted, %d degraded, %d failed; expected 0, 0, 30", admitted, degraded, failed)
			}
			if !r.BreakerOpen() {
				t.Error("the breaker is closed after 90 failures")
			}

			f.end(server)
			healthy(t, r)
			fresh := limitertest.Client("acme", "203.0.113.8")
			redistest.Await(t, func() bool { // the last of the slow answers may still be due
				_, degraded, failed := spend(t, r, fresh, deny, 1)
				return degraded+failed == 0
			})
			if r.BreakerOpen() {
				t.Error("the breaker is open although the store answers")
			}
		})
	}
}

func TestAnOutageAdmitsAtMostTheQuotaOnceMore(t *testing.T) {
	server := redistest.Start(t)
	opts := redis.Options{URL: server.URL(), Replicas: 3, Budget: time.Second}
	p := policyFor(t, "30/1h", limit.LocalShare)
	admitted := 0
	var gateways []*redis.Limiter
	for range 3 {
		gateways = append(gateways, newRedis(t, opts))
	}
	use := func(n int) {
		for _, g := range gateways {
			a, _, _ := spend(t, g, acme, p, n)
			admitted += a
		}
	}
	use(10)
	if admitted != 30 {
		t.Fatalf("%d admitted before the outage, expected 30", admitted)
	}
	// Twice, because a second outage within the hour must not begin anew.
	for range 2 {
		server.Kill()
		use(40)
		server.Restart()
		for _, g := range gateways {
			healthy(t, g)
		}
	}
	if admitted > 60 {
		t.Errorf("%d admitted around two outages, expected at most 60", admitted)
	}
}

func TestARefusalIsRememberedThroughAnOutage(t *testing.T) {
	server := redistest.Start(t)
	r := newRedis(t, redis.Options{URL: server.URL(), Budget: patient})
	p := policyFor(t, "5/1h", limit.Open)
	spend(t, r, acme, p, 6)
	server.Kill()
	if admitted, degraded, _ := spend(t, r, acme, p, 100); admitted != 0 || degraded != 0 {
		t.Errorf("%d admitted and %d degraded for a client that was over its quota, expected 0", admitted, degraded)
	}
}

func TestAFlushedStoreAdmitsAtMostTheQuotaAgain(t *testing.T) {
	server := redistest.Start(t)
	r := newRedis(t, redis.Options{URL: server.URL(), Budget: patient})
	p := policyFor(t, "20/1h", limit.Deny)
	first, _, _ := spend(t, r, acme, p, 15)
	server.Do("FLUSHALL")
	second, degraded, failed := spend(t, r, acme, p, 50)
	if degraded+failed != 0 || first != 15 || second != 20 {
		t.Errorf("%d and %d admitted, %d degraded, %d failed; expected 15, 20, 0, 0", first, second, degraded, failed)
	}
}

func TestALostScriptIsSentAgainWithoutLosingACount(t *testing.T) {
	server := redistest.Start(t)
	r := newRedis(t, redis.Options{URL: server.URL(), Budget: patient})
	p := policyFor(t, "100/1h", limit.Deny)
	admitted := 0
	for range 12 {
		a, degraded, failed := spend(t, r, acme, p, 10)
		if degraded+failed != 0 {
			t.Fatalf("%d degraded and %d failed", degraded, failed)
		}
		admitted += a
		server.Do("SCRIPT", "FLUSH")
	}
	if admitted != 100 {
		t.Errorf("%d admitted, expected 100", admitted)
	}
}

func TestCheckWarnsOfAStoreThatForgets(t *testing.T) {
	server := redistest.Start(t)
	r := newRedis(t, redis.Options{URL: server.URL()})
	if w, err := r.Check(t.Context()); err != nil || len(w) != 0 {
		t.Errorf("warnings about a fit store: %v, %v", w, err)
	}
	server.Do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	if w, err := r.Check(t.Context()); err != nil || len(w) != 1 {
		t.Errorf("warnings about a store that evicts: %v, %v", w, err)
	}
	server.Kill()
	if _, err := r.Check(t.Context()); err == nil {
		t.Error("a store that is down gave no error")
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	for what, o := range map[string]redis.Options{
		"no URL":                        {},
		"a brace in the namespace":      {URL: "redis://h", Namespace: "a{b"},
		"a negative budget":             {URL: "redis://h", Budget: -1},
		"a negative number of gateways": {URL: "redis://h", Replicas: -1},
	} {
		t.Run(what, func(t *testing.T) {
			if r, err := redis.New(o); err == nil {
				_ = r.Close()
				t.Errorf("New(%+v) succeeded", o)
			}
		})
	}
}
