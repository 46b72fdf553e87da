package limitertest

import (
	"context"
	"net/netip"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
)

// neverMore floods a limiter over three windows and counts.
func neverMore(f *fixture) {
	const perClient, perTenant, window = 20, 50, time.Hour
	p := f.policy("20/1h tenant:50/1h")
	type admission struct {
		client int
		at     time.Duration
	}
	var admissions []admission
	passed := time.Duration(0)
	for range 36 {
		for client := range 4 {
			key := limit.Key{Tenant: "acme", Client: netip.AddrFrom4([4]byte{192, 0, 2, byte(client)})}
			for range 3 {
				if f.takeAs(key, p, 1).Allowed {
					admissions = append(admissions, admission{client, passed})
				}
			}
		}
		f.clock.Advance(5 * time.Minute)
		passed += 5 * time.Minute
	}
	for i, last := range admissions {
		total, own := 0, 0
		for _, a := range admissions[:i+1] {
			// What may be older than the clock says does not count.
			if last.at-a.at > window-slack {
				continue
			}
			total++
			if a.client == last.client {
				own++
			}
		}
		if own > perClient || total > perTenant {
			f.Fatalf("%d of %d for a client and %d of %d for its tenant within %s", own, perClient, total, perTenant, window)
		}
	}
}

// endedRequest takes for a request whose client has left. Whatever is decided, it
// must be well formed and come at once.
func endedRequest(f *fixture) {
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	d, err := f.l.Take(ctx, f.key, f.policy("5/1h 5/concurrent"), 1)
	if err == nil && d.Allowed == (d.RetryAfter > 0) {
		f.Errorf("allowed is %t and RetryAfter is %s", d.Allowed, d.RetryAfter)
	}
	d.Slot.Release()
}

func releaseAfterClose(f *fixture) {
	d := f.take(f.policy("5/concurrent"), 1)
	if err := f.l.Close(); err != nil {
		f.Fatal(err)
	}
	d.Slot.Release()
	d.Slot.Release()
}

func closeTwice(f *fixture) {
	for range 2 {
		if err := f.l.Close(); err != nil {
			f.Fatal(err)
		}
	}
}
