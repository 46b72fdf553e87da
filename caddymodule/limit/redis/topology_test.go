package redis_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/limitertest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redis"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redistest"
)

func TestMain(m *testing.M) {
	redis.DiscardDriverLog()
	os.Exit(m.Run())
}

// storm sends requests of one client through all gateways at once and returns
// how many passed.
func storm(t testing.TB, gateways []*redis.Limiter, p *limit.Policy, each int) int64 {
	t.Helper()
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for _, g := range gateways {
		for range 8 {
			wg.Go(func() {
				for range each / 8 {
					d, err := g.Take(context.Background(), acme, p, 1)
					if err != nil || d.Degraded {
						t.Errorf("degraded %t: %v", d.Degraded, err)
						return
					}
					if d.Allowed {
						admitted.Add(1)
					}
				}
			})
		}
	}
	wg.Wait()
	return admitted.Load()
}

func TestThreeGatewaysAdmitExactlyTheQuota(t *testing.T) {
	server := redistest.Start(t)
	for _, c := range []struct {
		limits string
		quota  int64
	}{
		{"1000/1h", 1000},           // asked for one by one
		{"20000/1h", 20_000},        // taken in advance
		{"20000/1h 6000/1d", 6_000}, // the same, over two windows
	} {
		t.Run(c.limits, func(t *testing.T) {
			p := policyFor(t, c.limits, limit.Deny)
			ns := fmt.Sprintf("three%d", namespaces.Add(1))
			var gateways []*redis.Limiter
			for range 3 {
				gateways = append(gateways, newRedis(t, redis.Options{URL: server.URL(), Namespace: ns, Budget: patient}))
			}
			each := int(c.quota) // three times the quota in all
			if got := storm(t, gateways, p, each); got != c.quota {
				t.Errorf("%d of %d admitted, expected exactly %d", got, 3*each, c.quota)
			}
			var calls uint64
			for _, g := range gateways {
				calls += g.StoreStats().Calls
			}
			t.Logf("%d calls for %d requests", calls, 3*each)
		})
	}
}

func TestClosingAGatewayReturnsWhatItHolds(t *testing.T) {
	server := redistest.Start(t)
	p := policyFor(t, "20000/1h", limit.Deny)
	opts := redis.Options{URL: server.URL(), Budget: patient}
	r := newRedis(t, opts)
	used := storm(t, []*redis.Limiter{r}, p, 4000)
	// Where the last permit was just spent, the next ones are under way.
	for more := 0; r.Held() == 0; more++ {
		if more == 1000 {
			t.Fatal("nothing is held after 5000 requests in a row")
		}
		used += storm(t, []*redis.Limiter{r}, p, 1)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := newRedis(t, opts).Take(t.Context(), acme, p, 1)
	if err != nil || d.States[0].Remaining != 20_000-used-1 {
		t.Errorf("%d are left after %d were used and the rest returned, expected %d: %v",
			d.States[0].Remaining, used+1, 20_000-used-1, err)
	}
}

// executed returns how often the server ran scripts.
func executed(t testing.TB, s *redistest.Server) (n int) {
	t.Helper()
	for line := range strings.SplitSeq(s.Do("INFO", "commandstats").(string), "\r\n") {
		if rest, ok := strings.CutPrefix(line, "cmdstat_evalsha:calls="); ok {
			count, _, _ := strings.Cut(rest, ",")
			n, _ = strconv.Atoi(count)
		}
	}
	return n
}

func TestACommandWhoseAnswerIsCutOffIsNotRepeated(t *testing.T) {
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server)
	opts := redis.Options{URL: proxy.URL(), Budget: patient}
	p := policyFor(t, "20000/1h", limit.Deny)
	r := newRedis(t, opts)
	healthy(t, r)
	before := executed(t, server)
	proxy.CutReplies.Store(1)
	if _, _, failed := spend(t, r, acme, p, 1); failed != 1 {
		t.Fatal("a request whose answer was cut off did not fail")
	}
	if n := executed(t, server) - before; n != 1 {
		t.Errorf("an acquire ran %d times, expected once", n)
	}

	// The same for a return, where a second time would give back too much.
	used := storm(t, []*redis.Limiter{r}, p, 4000)
	held := r.Held()
	if held == 0 {
		t.Fatal("nothing is held after 4000 requests in a row")
	}
	before = executed(t, server)
	proxy.CutReplies.Store(1)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if n := executed(t, server) - before; n < 1 || n > 2 || proxy.Cut.Load() != 2 {
		t.Errorf("at most two leases were returned in %d scripts, %d answers cut", n, proxy.Cut.Load())
	}
	opts.URL = server.URL()
	d, err := newRedis(t, opts).Take(t.Context(), acme, p, 1)
	if left := d.States[0].Remaining; err != nil || left > 20_000-used-2 {
		t.Errorf("%d are left after %d were used: more than was returned", left, used+2)
	}
}

func TestACutConnectionNeverAdmitsMore(t *testing.T) {
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server)
	p := policyFor(t, "300/1h", limit.Deny)
	r := newRedis(t, redis.Options{URL: proxy.URL(), Budget: patient})
	admitted := 0
	for range 100 {
		proxy.CutReplies.Store(1)
		a, _, _ := spend(t, r, acme, p, 8)
		admitted += a
		healthyThroughCuts(t, r)
	}
	if proxy.Cut.Load() < 20 || admitted > 300 || admitted < 150 {
		t.Errorf("%d of 300 admitted over %d cut answers", admitted, proxy.Cut.Load())
	}
}

func healthyThroughCuts(t testing.TB, r *redis.Limiter) {
	t.Helper()
	redistest.Await(t, func() bool { return !r.BreakerOpen() || probe(r) })
}

func probe(r *redis.Limiter) bool {
	d, err := r.Take(context.Background(), limitertest.Client("probe", "192.0.2.1"), openPolicy, 1)
	return err == nil && !d.Degraded
}

var openPolicy, _ = limit.NewPolicy([]limit.Limit{{N: 1_000_000, Window: time.Hour}}, limit.Open)

func TestSlotsOfACrashedGatewayComeBack(t *testing.T) {
	server := redistest.Start(t)
	p := policyFor(t, "2/concurrent", limit.Deny)
	opts := redis.Options{URL: server.URL(), Namespace: "slots", Budget: patient}
	crashed := newRedis(t, opts)
	spend(t, crashed, acme, p, 2) // they never end, and it says no more for a third of a minute
	r := newRedis(t, opts)
	clock := &agingClock{t, server, "slots", redis.ClockOf(r)}
	clock.Advance(50 * time.Second)
	if admitted, _, _ := spend(t, r, acme, p, 1); admitted != 0 {
		t.Error("a slot came back before its lifetime was over")
	}
	clock.Advance(11 * time.Second)
	if admitted, _, _ := spend(t, r, acme, p, 3); admitted != 2 {
		t.Errorf("%d admitted after the lifetime of both slots, expected 2", admitted)
	}
}

func TestClosedLimitersLeaveNothingRunning(t *testing.T) {
	server := redistest.Start(t)
	p := policyFor(t, "20000/1h 50/concurrent", limit.Deny)
	clients := func() int {
		return strings.Count(server.Do("CLIENT", "LIST").(string), "\n")
	}
	goroutines, connections := runtime.NumGoroutine(), clients()
	for range 30 {
		r := newRedis(t, redis.Options{URL: server.URL(), Budget: patient})
		for range 3 {
			d, err := r.Take(t.Context(), acme, p, 1)
			if err != nil {
				t.Fatal(err)
			}
			d.Slot.Release()
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	redistest.Await(t, func() bool { return runtime.NumGoroutine() <= goroutines && clients() <= connections })
}

func TestAClusterIsOneLimiterAlsoWhileItIsResharded(t *testing.T) {
	t.Parallel()
	masters := redistest.StartCluster(t, 3)
	hosts := make([]string, len(masters))
	for i, m := range masters {
		hosts[i] = m.Addr()
	}
	r := newRedis(t, redis.Options{URL: "redis+cluster://" + strings.Join(hosts, ","), Budget: patient})
	p := policyFor(t, "10/1h tenant:15/1h", limit.Deny)
	tenants := []string{"acme", "fluffy", "paws", "a}b", "", strings.Repeat("long", 60)}
	for _, tenant := range tenants {
		admitted := 0
		for c := range 3 {
			key := limitertest.Client(tenant, fmt.Sprintf("192.0.2.%d", c))
			a, _, failed := spend(t, r, key, p, 12)
			if failed != 0 {
				t.Fatalf("tenant %q: %d failed", tenant, failed)
			}
			admitted += a
		}
		if admitted != 15 {
			t.Errorf("tenant %q: %d admitted, expected 15", tenant, admitted)
		}
	}

	// What a split pair of keys cannot answer is left to the policy.
	r = newRedis(t, redis.Options{URL: "redis+cluster://" + strings.Join(hosts, ","), Budget: 250 * time.Millisecond})
	key := limitertest.Client("moving", "192.0.2.1")
	many := policyFor(t, "200/1h tenant:500/1h", limit.Deny)
	admitted, last := 0, 0
	use := func() {
		for range 20 {
			a, _, failed := spend(t, r, key, many, 1)
			admitted += a
			last = failed
		}
	}
	use()
	slot := int(masters[0].Do("CLUSTER", "KEYSLOT", "ratelimit:{moving}:t").(int64))
	from := masters[slot*3/16384]
	to := masters[(slot*3/16384+1)%3]
	from.MigrateSlot(slot, to, masters, use)
	redistest.Await(t, func() bool {
		before := admitted
		use()
		return last == 0 && admitted == before
	})
	// An answer that was lost costs the client what it was granted.
	if admitted > 200 || admitted < 150 {
		t.Errorf("%d admitted over a reshard, expected at most 200 and nearly as many", admitted)
	}
	if to.Do("CLUSTER", "COUNTKEYSINSLOT", slot).(int64) == 0 {
		t.Error("the slot's new master holds nothing of it")
	}
}

func TestASentinelFailoverKeepsWhatWasReplicated(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t)
	replica := redistest.Start(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(master.Port()))
	redistest.Await(t, func() bool {
		return strings.Contains(replica.Do("INFO", "replication").(string), "master_link_status:up")
	})
	sentinel := redistest.StartSentinel(t, master)
	redistest.Await(t, func() bool {
		return strings.Contains(fmt.Sprint(sentinel.Do("SENTINEL", "REPLICAS", "main")), strconv.Itoa(replica.Port()))
	})
	r := newRedis(t, redis.Options{URL: "redis+sentinel://" + sentinel.Addr() + "/0?master_name=main", Budget: time.Second})
	p := policyFor(t, "100/1h", limit.Deny)
	admitted, _, failed := spend(t, r, acme, p, 60)
	if admitted != 60 || failed != 0 {
		t.Fatalf("%d admitted and %d failed before the failover", admitted, failed)
	}
	redistest.Await(t, func() bool { // what is acknowledged is not yet replicated
		return strings.Contains(fmt.Sprint(master.Do("WAIT", 1, 1000)), "1")
	})
	master.Kill()
	redistest.Await(t, func() bool {
		a, _, failed := spend(t, r, acme, p, 1)
		admitted += a
		return failed == 0
	})
	a, _, _ := spend(t, r, acme, p, 80)
	if admitted += a; admitted != 100 {
		t.Errorf("%d admitted over a failover, expected 100", admitted)
	}
}
