package ratelimit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"runtime"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit/redistest"
)

// benchKeys returns n keys in random order, spread over a hundred tenants.
func benchKeys(n int) []Key {
	keys := make([]Key, n)
	for i := range keys {
		keys[i] = Key{
			Tenant: fmt.Sprintf("tenant-%d", i%100),
			Client: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	rng.Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys
}

var benchSizes = []int{10_000, 1_000_000}

func take(b *testing.B, l Limiter, keys []Key, p *Policy) {
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

func BenchmarkMemoryTake(b *testing.B) {
	for _, limits := range []string{"100000000/1h", "10/1h", "100000000/1h tenant:1000000000/1h", "100000000/1h 50000000/1m 40000000/1s"} {
		for _, n := range benchSizes {
			b.Run(fmt.Sprintf("%s/%d keys", limits, n), func(b *testing.B) {
				take(b, NewMemory(MemoryOptions{MaxKeys: 2 * n}), benchKeys(n), simPolicy(b, limits))
			})
		}
	}
}

func BenchmarkMemoryTakeInParallel(b *testing.B) {
	m := NewMemory(MemoryOptions{})
	keys := benchKeys(10_000)
	p := simPolicy(b, "100000000/1h")
	b.RunParallel(func(pb *testing.PB) {
		i := rand.IntN(len(keys))
		for pb.Next() {
			_, _ = m.Take(context.Background(), keys[i], p, 1)
			if i++; i == len(keys) {
				i = 0
			}
		}
	})
}

// BenchmarkMemoryPerKey reports what a key costs that was used once.
func BenchmarkMemoryPerKey(b *testing.B) {
	const n = 500_000
	keys := benchKeys(n)
	p := simPolicy(b, "100/1h")
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		m := NewMemory(MemoryOptions{})
		for _, k := range keys {
			_, _ = m.Take(context.Background(), k, p, 1)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "bytes/key")
		runtime.KeepAlive(m)
	}
}

// held returns a Redis limiter that needs no store, because it holds plenty
// for every key, or has refused it.
func held(b *testing.B, keys []Key, p *Policy, refused bool) *Redis {
	b.Helper()
	r, err := NewRedis(RedisOptions{URL: "redis://127.0.0.1:1"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = r.client.Close() })
	now := r.now()
	for _, k := range keys {
		e := r.gate.shard(k).entry(k, now)
		e.purse.adopt(now, p)
		e.purse.limits = make([]standing, p.nspecs)
		if refused {
			e.purse.denyUntil, e.purse.retryAt, e.purse.deniedCost = 1<<60, 1<<60, 1
		} else {
			e.purse.lots[0] = lot{n: 1 << 40, deadline: 1 << 60}
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

func BenchmarkWriteHeaders(b *testing.B) {
	for _, limits := range []string{"100/1h", "100000/1h 2000/1s tenant:5000000/month"} {
		b.Run(limits, func(b *testing.B) {
			p := simPolicy(b, limits)
			m := NewMemory(MemoryOptions{})
			d, err := m.Take(context.Background(), simKey(1), p, 1)
			if err != nil {
				b.Fatal(err)
			}
			h := make(http.Header, 8)
			b.ReportAllocs()
			for b.Loop() {
				WriteHeaders(h, p, d)
			}
		})
	}
}

func benchRedis(b *testing.B, limits string) (*Redis, *Policy) {
	b.Helper()
	server := redistest.Start(b)
	r, err := NewRedis(RedisOptions{URL: server.URL(), Budget: 5e9})
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
			b.ReportMetric(float64(r.Stats().Calls)/float64(b.N), "calls/op")
		})
	}
}
