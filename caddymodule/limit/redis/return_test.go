package redis

import (
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

// A permit that was kept until its charge had lapsed, because the process was
// suspended, must not be taken out of what others were charged since.
func TestALapsedPermitIsNotReturned(t *testing.T) {
	d := newDifferential(t)
	p := simPolicy(t, "10/3m")
	hold := termsOf(p, 0).hold
	key := simKey(1)
	_, old := d.ask(key, p, window.Ask{Need: 4, Unit: 1, Want: 4, Hold: hold})
	d.now += 3*60*window.Second + hold + 1
	d.ask(key, p, window.Ask{Need: 10, Unit: 1, Want: 10, Hold: hold})
	d.giveBack(old, 4)
	if v, _ := d.ask(key, p, window.Ask{Need: 1, Unit: 1, Want: 1, Hold: hold}); v.Granted != 0 {
		t.Error("an eleventh was admitted: the return took others' charges")
	}

	var c leaseCache
	c.adopt(1, p)
	c.answer(&call{
		p: p, ask: window.Ask{Need: 4, Unit: 1, Want: 4, Hold: hold}, sent: 1000, received: 1000,
		verdict: window.Verdict{Granted: 4, Now: d.now},
	}, 0)
	if leases := c.empty(1000 + hold); len(leases) != 0 {
		t.Errorf("%d leases past their deadline were handed out to be returned", len(leases))
	}
}

func TestReturnedPermitsCanBeTakenAgain(t *testing.T) {
	d := newDifferential(t)
	p := simPolicy(t, "10/3m tenant:12/10m")
	hold := termsOf(p, 0).hold
	_, g := d.ask(simKey(1), p, window.Ask{Need: 10, Unit: 1, Want: 10, Hold: hold})
	d.now += window.Second
	d.giveBack(g, 7)
	if v, _ := d.ask(simKey(1), p, window.Ask{Need: 9, Unit: 1, Want: 9, Hold: hold}); v.Granted != 7 {
		t.Errorf("%d were granted after 7 of 10 came back, expected 7", v.Granted)
	}
}

// The deadline counts from before the call was written, because the store may
// have charged it at once and the reply may have taken long.
func TestTheDeadlineCountsFromTheCall(t *testing.T) {
	p := simPolicy(t, "10000/1h")
	var cache leaseCache
	cache.adopt(1, p)
	hold := termsOf(p, 0).hold
	sent := int64(5_000_000)
	if back := cache.answer(&call{
		p: p, ask: window.Ask{Need: 1, Unit: 1, Want: 100, Hold: hold}, sent: sent, received: sent + hold/2,
		verdict: window.Verdict{Granted: 1, Extra: 99, Now: simStart},
	}, 1); len(back) != 0 {
		t.Fatalf("%d leases came back at once", len(back))
	}
	var d limit.Decision
	if got := cache.take(sent+hold-hold/drift-1, p, 1, &d); got != admitted {
		t.Error("the last microsecond of the hold was not admitted")
	}
	if got := cache.take(sent+hold-hold/drift, p, 1, &d); got != askStore {
		t.Error("a permit was spent after its deadline")
	}
}

func TestAPermitOfACalendarPeriodEndsWithIt(t *testing.T) {
	p := simPolicy(t, "10000/calendar-hour")
	var counters window.Counters
	counters[limit.PerClient] = new(window.Counter)
	// Two seconds before the hour.
	now := int64(simStart/hour+1)*hour - 2*window.Second
	c := &call{p: p, ask: window.Ask{Want: 100, Unit: 1, Hold: termsOf(p, 0).hold}, sent: 1_000_000, received: 1_000_100}
	window.Decide(p, &counters, now, c.ask, &c.verdict)
	var cache leaseCache
	cache.adopt(1, p)
	cache.answer(c, 0)
	var d limit.Decision
	if got := cache.take(1_000_000+1_990_000, p, 1, &d); got != admitted {
		t.Error("a permit could not be spent within its hour")
	}
	if got := cache.take(1_000_000+2*window.Second, p, 1, &d); got != askStore {
		t.Error("a permit charged to one hour was spent in the next")
	}
}
