package limitertest

import (
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
)

// eventually repeats a request until it is admitted: a slot may be given back
// in the background.
func (f *fixture) eventually(key limit.Key, p *limit.Policy) limit.Decision {
	f.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		d := f.takeAs(key, p, 1)
		if d.Allowed {
			return d
		}
		if time.Now().After(deadline) {
			f.Fatalf("still refused long after a slot was released: %+v", d.States[:d.Len])
		}
		time.Sleep(time.Millisecond)
	}
}

func inProgress(f *fixture) {
	p := f.policy("2/concurrent tenant:3/concurrent")
	one, two := Client("acme", "192.0.2.1"), Client("acme", "192.0.2.2")
	a := f.takeAs(one, p, 1)
	f.left(a, 1, 2)
	b := f.takeAs(one, p, 5) // what it costs does not matter here
	f.left(b, 0, 1)
	d := f.takeAs(one, p, 1)
	if got := strings.Join(p.Violated(d), " "); d.Allowed || got != "concurrent" || d.Slot != nil {
		f.Fatalf("third request of a client of two: allowed %t, violated %q", d.Allowed, got)
	}
	c := f.takeAs(two, p, 1)
	f.left(c, 1, 0)
	if d := f.takeAs(two, p, 1); d.Allowed || strings.Join(p.Violated(d), " ") != "concurrent-tenant" {
		f.Fatalf("fourth request of a tenant of three: %+v", d)
	}
	a.Slot.Release()
	a.Slot.Release()
	d = f.eventually(two, p)
	if again := f.takeAs(one, p, 1); again.Allowed {
		f.Fatal("releasing a slot twice freed two")
	}
	for _, end := range []limit.Decision{b, c, d} {
		end.Slot.Release()
	}
	f.eventually(one, p).Slot.Release()
	var none *limit.Slot
	none.Release()
}

func inProgressAllOrNothing(f *fixture) {
	p := f.policy("3/1h 1/concurrent")
	first := f.admit(p, 1, 2, 0)
	for range 5 {
		f.refuse(p, 1, 2, 0)
	}
	first.Slot.Release()
	second := f.eventually(f.key, p)
	f.left(second, 1, 0)
	second.Slot.Release()
	f.eventually(f.key, p).Slot.Release()
	// The hour is used up; these must not hold slots.
	for range 5 {
		f.refuse(p, 1, 0)
	}
	f.eventually(f.key, f.policy("10/1h 1/concurrent")).Slot.Release()
}

func calendarPeriod(f *fixture) {
	p := f.policy("3/month 100/1h")
	f.admit(p, 2, 1, 98)
	f.admit(p, 1, 0, 97)
	d := f.refuse(p, 1, 0, 97)
	if d.RetryAfter > 31*24*time.Hour || strings.Join(p.Violated(d), " ") != "month" {
		f.Fatalf("violated %v, RetryAfter %s", p.Violated(d), d.RetryAfter)
	}
	f.admit(f.policy("4/month"), 1, 0)
}
