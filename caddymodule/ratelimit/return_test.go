package ratelimit

import "testing"

// A permit that was kept until its charge had lapsed, because the process was
// suspended, must not be taken out of what others were charged since.
func TestALapsedPermitIsNotReturned(t *testing.T) {
	d := newDifferential(t)
	p := simPolicy(t, "10/3m")
	key := simKey(1)
	_, old := d.ask(key, p, ask{need: 4, unit: 1, want: 4, hold: p.hold})
	d.now += 3*60*microsPerSecond + p.hold + 1
	d.ask(key, p, ask{need: 10, unit: 1, want: 10, hold: p.hold})
	d.giveBack(old, 4)
	if v, _ := d.ask(key, p, ask{need: 1, unit: 1, want: 1, hold: p.hold}); v.granted != 0 {
		t.Error("an eleventh was admitted: the return took others' charges")
	}

	var u purse
	u.adopt(1, p)
	v := verdict{granted: 4, now: d.now}
	a := ask{need: 4, unit: 1, want: 4, hold: p.hold}
	u.answer(p, a, &v, [2]int64{}, 1000, 1000, 0)
	if lots := u.empty(1000 + p.hold); len(lots) != 0 {
		t.Errorf("%d lots past their deadline were handed out to be returned", len(lots))
	}
}

func TestReturnedPermitsCanBeTakenAgain(t *testing.T) {
	d := newDifferential(t)
	p := simPolicy(t, "10/3m tenant:12/10m")
	_, g := d.ask(simKey(1), p, ask{need: 10, unit: 1, want: 10, hold: p.hold})
	d.now += microsPerSecond
	d.giveBack(g, 7)
	if v, _ := d.ask(simKey(1), p, ask{need: 9, unit: 1, want: 9, hold: p.hold}); v.granted != 7 {
		t.Errorf("%d were granted after 7 of 10 came back, expected 7", v.granted)
	}
}

// The deadline counts from before the call was written, because the store may
// have charged it at once and the reply may have taken long.
func TestTheDeadlineCountsFromTheCall(t *testing.T) {
	p := simPolicy(t, "10000/1h")
	var u purse
	u.adopt(1, p)
	a := ask{need: 1, unit: 1, want: 100, hold: p.hold}
	v := verdict{granted: 1, extra: 99, now: simStart}
	sent, received := int64(5_000_000), int64(5_000_000)+p.hold/2
	if back := u.answer(p, a, &v, [2]int64{}, sent, received, 1); len(back) != 0 {
		t.Fatalf("%d lots came back at once", len(back))
	}
	var d Decision
	if got := u.take(sent+p.hold-p.hold/drift-1, p, 1, &d); got != admitted {
		t.Error("the last microsecond of the hold was not admitted")
	}
	if got := u.take(sent+p.hold-p.hold/drift, p, 1, &d); got != askStore {
		t.Error("a permit was spent after its deadline")
	}
}

func TestAPermitOfACalendarPeriodEndsWithIt(t *testing.T) {
	p := simPolicy(t, "10000/calendar-hour")
	var accounts [2]*account
	accounts[PerClient] = new(account)
	// Two seconds before the hour.
	now := int64(simStart/microsPerHour+1)*microsPerHour - 2*microsPerSecond
	a := ask{want: 100, unit: 1, hold: p.hold}
	var v verdict
	decide(p, &accounts, now, a, &v)
	var u purse
	u.adopt(1, p)
	u.answer(p, a, &v, [2]int64{}, 1_000_000, 1_000_100, 0)
	var d Decision
	if got := u.take(1_000_000+1_990_000, p, 1, &d); got != admitted {
		t.Error("a permit could not be spent within its hour")
	}
	if got := u.take(1_000_000+2*microsPerSecond, p, 1, &d); got != askStore {
		t.Error("a permit charged to one hour was spent in the next")
	}
}
