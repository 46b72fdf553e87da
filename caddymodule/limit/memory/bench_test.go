package memory

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
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

func take(b *testing.B, l *Limiter, keys []limit.Key, p *limit.Policy) {
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
				take(b, New(Options{maxKeys: 2 * n}), benchKeys(n), policy(b, limits))
			})
		}
	}
}

func BenchmarkMemoryTakeInParallel(b *testing.B) {
	m := New(Options{})
	keys := benchKeys(10_000)
	p := policy(b, "100000000/1h")
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
	p := policy(b, "100/1h")
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		m := New(Options{})
		for _, k := range keys {
			_, _ = m.Take(context.Background(), k, p, 1)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "bytes/key")
		runtime.KeepAlive(m)
	}
}

func TestADecisionAllocatesNothing(t *testing.T) {
	m, keys, p := New(Options{}), benchKeys(100), policy(t, "100000/1h 50/1s tenant:1000000/month")
	for _, k := range keys {
		_, _ = m.Take(context.Background(), k, p, 1)
	}
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		_, _ = m.Take(context.Background(), keys[i%len(keys)], p, 1)
		i++
	}); n > 0 {
		t.Errorf("%g allocations, expected none", n)
	}
}
