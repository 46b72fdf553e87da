package limitertest

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
)

// storm sends requests from many goroutines and returns how many passed.
func (f *fixture) storm(workers, each int, one func(worker int) bool) int64 {
	var admitted atomic.Int64
	var wg sync.WaitGroup
	start := make(chan struct{})
	for w := range workers {
		wg.Go(func() {
			<-start
			for range each {
				if one(w) {
					admitted.Add(1)
				}
			}
		})
	}
	close(start)
	wg.Wait()
	return admitted.Load()
}

func concurrent(f *fixture) {
	p := f.policy("100/1h 1000/1d")
	seen := make([]atomic.Int32, 100)
	got := f.storm(8, 50, func(int) bool {
		d := f.take(p, 1)
		if d.Allowed {
			seen[d.States[0].Remaining].Add(1)
		}
		return d.Allowed
	})
	if got != 100 {
		f.Fatalf("%d of 400 were admitted, expected exactly 100", got)
	}
	for left := range seen {
		if n := seen[left].Load(); n != 1 {
			f.Errorf("%d admissions were told that %d are left, expected 1", n, left)
		}
	}
	if d := f.refuse(p, 1); d.States[1].Remaining != 900 {
		f.Fatalf("%d of the day are left, expected 900", d.States[1].Remaining)
	}
}

func concurrentTenant(f *fixture) {
	p := f.policy("10/1h tenant:55/1h")
	var perClient [8]atomic.Int64
	got := f.storm(8, 20, func(worker int) bool {
		key := limit.Key{Tenant: "acme", Client: netip.AddrFrom4([4]byte{192, 0, 2, byte(worker)})}
		d := f.takeAs(key, p, 1)
		if d.Allowed {
			perClient[worker].Add(1)
		}
		return d.Allowed
	})
	if got != 55 {
		f.Fatalf("%d were admitted, expected exactly 55", got)
	}
	for i := range perClient {
		if n := perClient[i].Load(); n > 10 {
			f.Errorf("client %d got %d, expected at most 10", i, n)
		}
	}
}
