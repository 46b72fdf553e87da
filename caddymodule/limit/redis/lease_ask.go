package redis

import (
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

// Permits may be held for a sixtieth of the shortest window and at most
// maxHold: the quota comes back that much later. Below minHold holding is not
// worth its cost in quota.
const (
	maxHold = 20 * window.Second
	minHold = window.Second
)

// terms are how a policy's permits may be leased.
type terms struct {
	hold int64 // how long they may be held; 0: not at all
	most int64 // how many may be wanted at once
}

// termsOf returns the terms of p if its quotas are at least from.
func termsOf(p *limit.Policy, from int64) terms {
	hold, smallest := int64(maxHold), int64(limit.MaxQuota)
	for i := range p.Limits {
		l := &p.Limits[i]
		if l.Kind == limit.Concurrent {
			// The store must know of every request in progress.
			return terms{}
		}
		smallest = min(smallest, l.N)
		if l.Kind == limit.Rolling {
			hold = min(hold, int64(window.IDOf(l))/60)
		}
	}
	if hold < minHold || from < 0 || smallest < from {
		return terms{}
	}
	// What others see as left is nearly true if nobody holds more than a hundredth.
	return terms{hold, max(1, smallest/100)}
}

// termsOf are those under which this gateway leases.
func (r *Limiter) termsOf(p *limit.Policy) terms { return termsOf(p, r.opts.LeaseFrom) }

// target is how many permits the cache would like to hold: what is expected
// to be spent within two fifths of the hold, but at most about twice what it
// last got, so that it grows step by step.
func (c *leaseCache) target(t terms) int64 {
	if t.hold == 0 {
		return 0
	}
	want := int64(c.rate.perSecond * float64(t.hold) * 0.4 / window.Second)
	if want < 4 {
		return 0
	}
	return min(want, 2*c.lastGrant+2, t.most)
}

// low tells whether it is time to ask for more in advance.
func (c *leaseCache) low(now int64, t terms) bool {
	target := c.target(t)
	return target > 0 && c.inHand(now) < target/4
}

// ask makes the ask for requests that wait now, each of them of cost unit.
func (c *leaseCache) ask(now int64, t terms, unit int64, requests int) window.Ask {
	a := window.Ask{Need: unit * int64(requests), Unit: unit, Hold: t.hold}
	a.Want = a.Need + max(0, c.target(t)-c.inHand(now))
	return a
}

// rate estimates permits per second.
type rate struct {
	perSecond float64
	count     int64
	since     int64
}

// A rate is measured over rateInterval, or sooner over rateSamples: a key that
// becomes hot must not cost a call per request until the interval is over.
const (
	rateInterval = 200_000
	rateSamples  = 16
	rateMinimum  = 5_000
)

// note counts a request.
func (r *rate) note(now, cost int64) {
	if r.since == 0 {
		r.since = now
	}
	r.count += cost
	passed := now - r.since
	if passed < rateInterval && (r.perSecond > 0 || r.count < rateSamples || passed < rateMinimum) {
		return
	}
	measured := float64(r.count) * window.Second / float64(passed)
	if r.perSecond == 0 || passed > 20*rateInterval {
		r.perSecond = measured
	}
	r.perSecond += (measured - r.perSecond) / 2
	r.count, r.since = 0, now
}
