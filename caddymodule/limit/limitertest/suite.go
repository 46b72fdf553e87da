// Package limitertest is the conformance suite of limit.Limiter: what
// every implementation must do, told as stories about spending a quota,
// waiting as told and spending again. A stranger's limiter runs it as ours do:
//
//	limitertest.Suite{New: newLimiter, Exact: true}.Run(t)
package limitertest

import (
	"net/netip"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
)

// Clock moves the time of the limiter under test. Time may also pass by
// itself, as it does in a store with its own clock.
type Clock interface {
	Advance(d time.Duration)
}

// Suite checks one kind of limiter.
type Suite struct {
	// New returns a fresh limiter with nothing consumed and ends it with the test.
	// The clocks of two limiters start at about the same time.
	New func(t *testing.T) (limit.Limiter, Clock)

	// Exact says that the limiter admits whatever fits and tells exactly what is
	// left, over all kinds of limits and changes of plan. One that does not say so,
	// because it estimates, or refuses for reasons of its own, is only held to the
	// contract of limit.Limiter: well-formed answers, and never more than a quota.
	Exact bool

	// Peer returns another limiter on the counts of the one that New returned last,
	// and ends it with the test. It is needed where the limiter says that it is
	// shared.
	Peer func(t *testing.T) limit.Limiter
}

// story is one thing that a limiter does.
type story struct {
	name string
	test func(*fixture)
}

// contract is what every limiter does.
var contract = []story{
	{"no client and no tenant ever gets more than its quota", neverMore},
	{"an ended request is answered too", endedRequest},
	{"a slot can be released after closing", releaseAfterClose},
	{"closing twice is fine", closeTwice},
}

// exact is what one does that says it is exact.
var exact = []story{
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
}

// Run checks everything that the limiter promises, by the fields of s and by the
// optional interfaces of package limit that it implements.
func (s Suite) Run(t *testing.T) {
	stories := contract
	if s.Exact {
		stories = append(stories[:len(stories):len(stories)], exact...)
	}
	for _, c := range append(stories[:len(stories):len(stories)], s.abilities(t)...) {
		t.Run(c.name, func(t *testing.T) {
			l, clock := s.New(t)
			c.test(&fixture{T: t, suite: s, l: l, clock: clock, key: Client("acme", "203.0.113.7")})
		})
	}
}

// Client returns the key of a client.
func Client(tenant, addr string) limit.Key {
	return limit.Key{Tenant: tenant, Client: limit.ClientKey(netip.MustParseAddr(addr))}
}

// Policy returns a policy of limits as limit.Parse reads them.
func Policy(t testing.TB, limits string) *limit.Policy {
	t.Helper()
	list, err := limit.Parse(limits)
	if err != nil {
		t.Fatal(err)
	}
	p, err := limit.NewPolicy(list, limit.Deny)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type fixture struct {
	*testing.T
	suite Suite
	l     limit.Limiter
	clock Clock
	key   limit.Key
}

// slack is how much time may pass by itself between two calls of a test.
const slack = 2 * time.Second

func (f *fixture) policy(limits string) *limit.Policy {
	f.Helper()
	return Policy(f.T, limits)
}

func (f *fixture) take(p *limit.Policy, cost int64) limit.Decision {
	f.Helper()
	return f.takeAs(f.key, p, cost)
}

func (f *fixture) takeAs(key limit.Key, p *limit.Policy, cost int64) limit.Decision {
	f.Helper()
	d, err := f.l.Take(f.Context(), key, p, cost)
	if err != nil {
		f.Fatalf("Take: %v", err)
	}
	f.Cleanup(d.Slot.Release) // as every request ends
	if d.Degraded {
		f.Fatalf("Take was degraded: the store did not answer in time")
	}
	if d.Len != len(p.Limits) {
		f.Fatalf("Take returned %d states for %d limits", d.Len, len(p.Limits))
	}
	if (d.Slot != nil) != (d.Allowed && p.HasSlots()) {
		f.Fatalf("allowed is %t and Slot is %v", d.Allowed, d.Slot)
	}
	if (d.RetryAfter > 0) == d.Allowed {
		f.Fatalf("allowed is %t and RetryAfter is %s", d.Allowed, d.RetryAfter)
	}
	return d
}

// admit takes and requires admission with the given numbers left.
func (f *fixture) admit(p *limit.Policy, cost int64, remaining ...int64) limit.Decision {
	f.Helper()
	d := f.take(p, cost)
	if !d.Allowed {
		f.Fatalf("refused, expected admission with %v left: %+v", remaining, d.States[:d.Len])
	}
	f.left(d, remaining...)
	return d
}

// refuse takes and requires a refusal with the given numbers left.
func (f *fixture) refuse(p *limit.Policy, cost int64, remaining ...int64) limit.Decision {
	f.Helper()
	d := f.take(p, cost)
	if d.Allowed {
		f.Fatalf("admitted, expected a refusal with %v left: %+v", remaining, d.States[:d.Len])
	}
	f.left(d, remaining...)
	return d
}

func (f *fixture) left(d limit.Decision, remaining ...int64) {
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
