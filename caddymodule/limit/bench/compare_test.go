package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/sethvargo/go-limiter/memorystore"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/goredisstore.v9"
	"github.com/throttled/throttled/v2/store/memstore"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/memory"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redis"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redistest"
)

const quota = 1_000_000_000

type subject struct {
	name string
	take func(i int) error
}

type key struct {
	ours limit.Key
	text string
}

func keys(n int) []key {
	list := make([]key, n)
	for i := range list {
		tenant := fmt.Sprintf("tenant-%d", i%100)
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		list[i] = key{limit.Key{Tenant: tenant, Client: addr}, tenant + ":" + addr.String()}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	rng.Shuffle(n, func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func policy(b *testing.B, n int64) *limit.Policy {
	b.Helper()
	p, err := limit.NewPolicy([]limit.Limit{{N: n, Window: time.Hour}}, limit.Deny)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func ours(l limit.Limiter, p *limit.Policy, list []key) func(int) error {
	ctx := context.Background()
	return func(i int) error {
		_, err := l.Take(ctx, list[i].ours, p, 1)
		return err
	}
}

func BenchmarkInMemory(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		list := keys(n)
		store, err := memorystore.New(&memorystore.Config{Tokens: quota, Interval: time.Hour, InitialAlloc: 2 * n})
		if err != nil {
			b.Fatal(err)
		}
		inner, err := memstore.NewCtx(0)
		if err != nil {
			b.Fatal(err)
		}
		gcra, err := throttled.NewGCRARateLimiterCtx(inner, throttled.RateQuota{MaxRate: throttled.PerHour(quota), MaxBurst: quota})
		if err != nil {
			b.Fatal(err)
		}
		ctx := context.Background()
		for _, s := range []subject{
			{"caddy-tenancy", ours(memory.New(memory.Options{}), policy(b, quota), list)},
			{"sethvargo-go-limiter", func(i int) error {
				_, _, _, _, err := store.Take(ctx, list[i].text)
				return err
			}},
			{"throttled", func(i int) error {
				_, _, err := gcra.RateLimitCtx(ctx, list[i].text, 1)
				return err
			}},
		} {
			b.Run(fmt.Sprintf("%s/%d keys", s.name, n), func(b *testing.B) { serial(b, s, n) })
		}
		_ = store.Close(ctx)
	}
}

func serial(b *testing.B, s subject, n int) {
	for i := range n {
		if err := s.take(i); err != nil {
			b.Fatal(err)
		}
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if err := s.take(i); err != nil {
			b.Fatal(err)
		}
		if i++; i == n {
			i = 0
		}
	}
}

// BenchmarkRedis sends requests from many goroutines, over a thousand keys and
// over a single one.
func BenchmarkRedis(b *testing.B) {
	redis.DiscardDriverLog()
	server := redistest.Start(b)
	client := goredis.NewClient(&goredis.Options{
		Addr:                     server.Addr(),
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	defer client.Close()
	ctx := context.Background()
	for _, n := range []int{1000, 1} {
		list := keys(n)
		open := func(leaseFrom int64, ns string) *redis.Limiter {
			r, err := redis.New(redis.Options{
				URL: server.URL(), Namespace: fmt.Sprintf("%s%d", ns, n), LeaseFrom: leaseFrom, Budget: 5 * time.Second,
			})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = r.Close() })
			return r
		}
		rate := redis_rate.NewLimiter(client)
		store, err := goredisstore.NewCtx(client, "throttled:")
		if err != nil {
			b.Fatal(err)
		}
		gcra, err := throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{MaxRate: throttled.PerHour(1_000_000), MaxBurst: 1_000_000})
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range []subject{
			{"caddy-tenancy asking each time", ours(open(-1, "exact"), policy(b, quota), list)},
			{"caddy-tenancy leasing", ours(open(0, "lease"), policy(b, quota), list)},
			{"caddy-tenancy refusing", ours(open(0, "deny"), policy(b, 1), list)},
			{"redis_rate", func(i int) error {
				_, err := rate.Allow(ctx, list[i].text, redis_rate.PerHour(1_000_000))
				return err
			}},
			{"redis_rate refusing", func(i int) error {
				_, err := rate.Allow(ctx, "deny:"+list[i].text, redis_rate.PerHour(1))
				return err
			}},
			{"throttled", func(i int) error {
				_, _, err := gcra.RateLimitCtx(ctx, list[i].text, 1)
				return err
			}},
		} {
			b.Run(fmt.Sprintf("%s/%d keys", s.name, n), func(b *testing.B) {
				var failed atomic.Int64
				b.SetParallelism(16)
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := s.take(rand.IntN(n)); err != nil {
							failed.Add(1) // throttled gives up on hot keys
						}
					}
				})
				if n := failed.Load(); n > 0 {
					b.Logf("%d failed", n)
				}
			})
		}
	}
}
