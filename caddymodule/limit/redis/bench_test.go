package redis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redistest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

// benchKeys returns n keys in random order, spread over a hundred tenants.
func benchKeys(n int) []limit.Key {
	keys := make([]limit.Key, n)
	for i := range keys {
		keys[i] = limit.Key{
			Tenant: fmt.Sprintf("tenant-%d", i%100),
			Client: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	rng.Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys
}

var benchSizes = []int{10_000, 1_000_000}

func take(b *testing.B, l limit.Limiter, keys []limit.Key, p *limit.Policy) {
	b.Helper()
	ctx := context.Background()
	for _, k := range keys {
		if _, err := l.Take(ctx, k, p, 1); err != nil {
			b.Fatal(err)
		}
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Take(ctx, keys[i], p, 1); err != nil {
			b.Fatal(err)
		}
		if i++; i == len(keys) {
			i = 0
		}
	}
}

// held returns a limiter that needs no store, because it holds plenty
// for every key, or has refused it.
func held(b testing.TB, keys []limit.Key, p *limit.Policy, refused bool) *Limiter {
	b.Helper()
	r, err := New(Options{URL: "redis://127.0.0.1:1"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = r.client.Close() })
	now := r.now()
	for _, k := range keys {
		e := r.entries.shard(k).entry(k, now)
		e.cache.adopt(now, p)
		e.cache.limits = make([]window.Standing, len(p.Limits))
		if refused {
			e.cache.denyUntil, e.cache.retryAt, e.cache.deniedCost = 1<<60, 1<<60, 1
		} else {
			e.cache.leases[0] = lease{n: 1 << 40, deadline: 1 << 60}
		}
	}
	return r
}

func BenchmarkLeaseSpend(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprintf("%d keys", n), func(b *testing.B) {
			keys, p := benchKeys(n), simPolicy(b, "100000/1h")
			take(b, held(b, keys, p, false), keys, p)
		})
	}
}

func BenchmarkRememberedRefusal(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprintf("%d keys", n), func(b *testing.B) {
			keys, p := benchKeys(n), simPolicy(b, "100/1h")
			take(b, held(b, keys, p, true), keys, p)
		})
	}
}

func benchRedis(b *testing.B, limits string) (*Limiter, *limit.Policy) {
	b.Helper()
	server := redistest.Start(b)
	r, err := New(Options{URL: server.URL(), Budget: 5e9})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = r.Close() })
	return r, simPolicy(b, limits)
}

func BenchmarkRedisTake(b *testing.B) {
	for _, c := range []struct{ what, limits string }{
		{"asked each time", "4999/1h"}, {"leased", "1000000000/1h"},
	} {
		b.Run(c.what, func(b *testing.B) {
			r, p := benchRedis(b, c.limits)
			keys := benchKeys(1000)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := r.Take(context.Background(), keys[rand.IntN(len(keys))], p, 1); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.ReportMetric(float64(r.StoreStats().Calls)/float64(b.N), "calls/op")
		})
	}
}

func TestDecidingWithoutTheStoreAllocatesNothing(t *testing.T) {
	keys, p := benchKeys(100), simPolicy(t, "100000/1h tenant:1000000/1d")
	for what, refused := range map[string]bool{"a permit in hand": false, "a remembered refusal": true} {
		t.Run(what, func(t *testing.T) {
			r, i := held(t, keys, p, refused), 0
			if n := testing.AllocsPerRun(1000, func() {
				_, _ = r.Take(context.Background(), keys[i%len(keys)], p, 1)
				i++
			}); n > 0 {
				t.Errorf("%g allocations, expected none", n)
			}
		})
	}
}
