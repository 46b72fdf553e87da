package redis

import (
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

// A gateway's side of leasing, as pure decisions: times are passed in, and
// are the gateway's own monotonic microseconds except where said otherwise.
// The simulator in the tests runs this very code.

// drift is the largest assumed difference between the rates of two clocks,
// as a divisor: 1/1000.
const drift = 1000

// lease is a grant of permits in hand. Permits may be spent until the deadline,
// which lies hold after the call that got them was *sent*: the store charged
// them after that, and keeps the charge for the window plus hold. So a permit
// spent in time is always still charged for its whole window, with nothing
// assumed about the clocks but their rate.
type lease struct {
	n        int64
	deadline int64

	// What a return must name.
	p    *limit.Policy
	at   int64 // instant of the grant, by the store's clock
	hold int64
	inc  [2]int64
}

// leaseCache is what a gateway holds and knows of one key. The zero value holds
// and knows nothing.
type leaseCache struct {
	fingerprint uint64            // of the policy under which the rest was answered
	policy      *limit.Policy     // what permits in advance are asked under
	limits      []window.Standing // by the store, in the latest answer
	answered    int64             // when that arrived

	// After a refusal: requests of at least deniedCost are refused without
	// asking until denyUntil, and told to come back at retryAt.
	deniedCost int64
	denyUntil  int64
	retryAt    int64
	denials    int

	leases    [2]lease // spent in this order
	rate      rate
	lastGrant int64
}

type outcome uint8

const (
	askStore outcome = iota
	admitted
	refused
)

// adopt makes the cache one of policy p. What it got under another policy is
// handed out to be returned: it was not charged as p demands.
func (c *leaseCache) adopt(now int64, p *limit.Policy) []lease {
	if c.fingerprint == p.Fingerprint() {
		return nil
	}
	back := c.empty(now)
	c.fingerprint, c.policy, c.limits, c.denyUntil, c.denials = p.Fingerprint(), p, nil, 0, 0
	return back
}

// take decides a request from what is in hand or known, if that suffices.
func (c *leaseCache) take(now int64, p *limit.Policy, cost int64, d *limit.Decision) outcome {
	if now < c.denyUntil && cost >= c.deniedCost {
		c.describe(d, p, now, 0, cost, false)
		return refused
	}
	c.rate.note(now, cost)
	for i := range c.leases {
		l := &c.leases[i]
		if l.n >= cost && now < l.deadline {
			l.n -= cost
			c.describe(d, p, now, c.inHand(now), cost, true)
			return admitted
		}
	}
	return askStore
}

// describe fills in a decision from the latest answer. Permits in hand were
// charged already and are still the client's to use, so they count as left.
func (c *leaseCache) describe(d *limit.Decision, p *limit.Policy, now, inHand, cost int64, allowed bool) {
	d.Allowed = allowed
	d.Len = len(p.Limits)
	passed := now - c.answered
	for i := range c.limits {
		l := &c.limits[i]
		st := &d.States[i]
		st.Remaining = l.Remaining + inHand
		st.Reset = time.Duration(max(0, l.Reset-passed)) * time.Microsecond
		if !allowed {
			st.Violated = st.Remaining < cost
		}
	}
	if !allowed {
		d.RetryAfter = time.Duration(max(1, c.retryAt-now)) * time.Microsecond
	}
}

// inHand is the number of permits that can be spent now.
func (c *leaseCache) inHand(now int64) int64 {
	n := int64(0)
	for i := range c.leases {
		if now < c.leases[i].deadline {
			n += c.leases[i].n
		}
	}
	return n
}

// idle tells whether the cache can be forgotten: nothing in hand, nothing
// refused, and no rate worth knowing.
func (c *leaseCache) idle(now int64) bool {
	return c.leases[0].n == 0 && c.leases[1].n == 0 && now >= c.denyUntil && now-c.rate.since > 20*rateInterval
}
