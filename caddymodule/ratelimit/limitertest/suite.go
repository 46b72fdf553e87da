// Package limitertest is the conformance suite of ratelimit.Limiter: what
// every implementation must do, told as stories about spending a quota,
// waiting as told and spending again.
package limitertest

import (
	"net/netip"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit"
)

// Clock moves the time of the limiter under test. Time may also pass by
// itself, as it does in a store with its own clock.
type Clock interface {
	Advance(d time.Duration)
}

// Run checks a kind of limiter. newLimiter returns a fresh one with nothing
// consumed and ends it with the test.
func Run(t *testing.T, newLimiter func(t *testing.T) (ratelimit.Limiter, Clock)) {
	for _, c := range []struct {
		name string
		test func(*fixture)
	}{
		{"a quota is served exactly and then refused", quotaThenRefusal},
		{"who waits as told is admitted", waitAsTold},
		{"a refusal debits nothing", refusalDebitsNothing},
		{"no window of its length holds more than the quota", neverMoreInAnyWindow},
		{"a quota used bit by bit comes back bit by bit", comesBackInSteps},
		{"limits are charged together or not at all", allOrNothing},
		{"every violated limit is named", everyViolatedLimitIsNamed},
		{"clients of a tenant share its total and nothing else", levels},
		{"different keys never share a count", keysAreApart},
		{"a request may cost more than one", cost},
		{"a cost above the quota is never admitted", costAboveQuota},
		{"a plan change acts at once and keeps consumption", planChange},
		{"a new window takes over what the old one knows", windowChange},
		{"a plan that comes back finds what was consumed meanwhile", planFlap},
		{"requests at the same time get exactly the quota", concurrent},
		{"tenant totals hold under concurrent clients", concurrentTenant},
		{"requests in progress are limited until they end", inProgress},
		{"a refusal takes no slot and a slot refusal no quota", inProgressAllOrNothing},
		{"a calendar period has its own quota", calendarPeriod},
		{"header fields agree with the decision", headers},
		{"closing twice is fine", closeTwice},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, clock := newLimiter(t)
			c.test(&fixture{T: t, l: l, clock: clock, key: Client("acme", "203.0.113.7")})
		})
	}
}

// Client returns the key of a client.
func Client(tenant, addr string) ratelimit.Key {
	return ratelimit.Key{Tenant: tenant, Client: ratelimit.ClientKey(netip.MustParseAddr(addr))}
}

// Policy returns a policy of limits as ParseLimits reads them.
func Policy(t testing.TB, limits string) *ratelimit.Policy {
	t.Helper()
	list, err := ratelimit.ParseLimits(limits)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ratelimit.NewPolicy(list, ratelimit.Deny)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type fixture struct {
	*testing.T
	l     ratelimit.Limiter
	clock Clock
	key   ratelimit.Key
}

// slack is how much time may pass by itself between two calls of a test.
const slack = 2 * time.Second

func (f *fixture) policy(limits string) *ratelimit.Policy {
	f.Helper()
	return Policy(f.T, limits)
}

func (f *fixture) take(p *ratelimit.Policy, cost int64) ratelimit.Decision {
	f.Helper()
	return f.takeAs(f.key, p, cost)
}

func (f *fixture) takeAs(key ratelimit.Key, p *ratelimit.Policy, cost int64) ratelimit.Decision {
	f.Helper()
	d, err := f.l.Take(f.Context(), key, p, cost)
	if err != nil {
		f.Fatalf("Take: %v", err)
	}
	if d.Degraded {
		f.Fatalf("Take was degraded: the store did not answer in time")
	}
	if d.Len != len(p.Limits) {
		f.Fatalf("Take returned %d states for %d limits", d.Len, len(p.Limits))
	}
	if (d.RetryAfter > 0) == d.Allowed {
		f.Fatalf("allowed is %t and RetryAfter is %s", d.Allowed, d.RetryAfter)
	}
	return d
}

// admit takes and requires admission with the given numbers left.
func (f *fixture) admit(p *ratelimit.Policy, cost int64, remaining ...int64) ratelimit.Decision {
	f.Helper()
	d := f.take(p, cost)
	if !d.Allowed {
		f.Fatalf("refused, expected admission with %v left: %+v", remaining, d.States[:d.Len])
	}
	f.left(d, remaining...)
	return d
}

// refuse takes and requires a refusal with the given numbers left.
func (f *fixture) refuse(p *ratelimit.Policy, cost int64, remaining ...int64) ratelimit.Decision {
	f.Helper()
	d := f.take(p, cost)
	if d.Allowed {
		f.Fatalf("admitted, expected a refusal with %v left: %+v", remaining, d.States[:d.Len])
	}
	f.left(d, remaining...)
	return d
}

func (f *fixture) left(d ratelimit.Decision, remaining ...int64) {
	f.Helper()
	for i, want := range remaining {
		if got := d.States[i].Remaining; got != want {
			f.Fatalf("limit %d has %d left, expected %d", i, got, want)
		}
	}
}

// about requires a duration within the slack of the expected one.
func (f *fixture) about(what string, got, want time.Duration) {
	f.Helper()
	if got > want || got < want-slack {
		f.Fatalf("%s is %s, expected %s", what, got, want)
	}
}
