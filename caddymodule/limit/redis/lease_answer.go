package redis

import (
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

// call is an acquire in flight, and what came of it.
type call struct {
	entry   *entry
	p       *limit.Policy
	ask     window.Ask
	waiters []*waiter
	slots   slotClaim

	sent, received int64 // by the gateway's clock
	verdict        window.Verdict
	inc            [2]int64 // incarnations of the counters charged
}

// late tells whether the answer came when permits of its grant could no longer
// be spent. Requests that still wait for them must not be admitted.
func (c *call) late() bool {
	return c.ask.Hold > 0 && c.received >= c.sent+c.ask.Hold-c.ask.Hold/drift
}

// rest is the lease of what the call got less what was used at once.
func (c *call) rest(used int64) lease {
	return lease{n: c.verdict.Granted + c.verdict.Extra - used, p: c.p, at: c.verdict.Now, hold: c.ask.Hold, inc: c.inc}
}

// answer takes in what the store said to a call under the cache's own policy. used
// permits have gone to the requests that waited; the rest is kept, or handed out to
// be returned.
func (c *leaseCache) answer(call *call, used int64) []lease {
	n := len(call.p.Limits)
	if cap(c.limits) < n {
		c.limits = make([]window.Standing, n)
	}
	c.limits = c.limits[:n]
	copy(c.limits, call.verdict.Limits[:n])
	c.answered = call.received
	c.note(call)
	c.lastGrant = call.verdict.Granted + call.verdict.Extra

	rest := call.rest(used)
	if rest.n == 0 {
		return nil
	}
	hold := call.ask.Hold
	for i := range call.p.Limits {
		// A calendar period's permits must be spent within the period, and its
		// reset is its end.
		if kind := call.p.Limits[i].Kind; kind != limit.Rolling && kind != limit.Concurrent {
			hold = min(hold, call.verdict.Limits[i].Reset)
		}
	}
	rest.deadline = call.sent + hold - hold/drift
	if rest.deadline <= call.received {
		return []lease{rest}
	}
	return c.keep(call.received, rest)
}

// keep puts a lease behind those in hand. There is room for two; the older one of
// three is handed out.
func (c *leaseCache) keep(now int64, l lease) (back []lease) {
	c.lapse(now)
	switch {
	case c.leases[1].n > 0:
		back = append(back, c.leases[0])
		c.leases[0], c.leases[1] = c.leases[1], l
	case c.leases[0].n > 0:
		c.leases[1] = l
	default:
		c.leases[0] = l
	}
	return back
}

// note remembers a refusal, so that it needs not be asked again before it can
// have changed.
func (c *leaseCache) note(call *call) {
	v, a := &call.verdict, call.ask
	if v.Granted == a.Need {
		if a.Need > 0 {
			c.denyUntil, c.denials = 0, 0
		}
		return
	}
	for i := range call.p.Limits {
		if call.p.Limits[i].Kind == limit.Concurrent && v.Limits[i].Violated {
			// A request in progress may end at any time.
			c.denyUntil = 0
			return
		}
	}
	wait := v.Retry
	if a.Hold > 0 && c.denials == 0 {
		// Other gateways may return what they hold within the hold.
		wait = min(wait, a.Hold)
	}
	c.denials++
	c.deniedCost = a.Unit
	// Not later than the store's instant even if this clock runs slow: a
	// client that waited as told must not be refused from memory. The last
	// bit is not worth asking early for.
	if wait > 50_000 {
		wait -= wait / drift
	}
	c.denyUntil = call.sent + wait
	c.retryAt = call.received + v.Retry
}
