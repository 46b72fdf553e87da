package window

import (
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
)

// Ask is what a gateway wants from the counters of a key.
type Ask struct {
	Need int64 // permits for requests that wait now
	Unit int64 // cost of each of them; Need is a multiple of it
	Want int64 // Need plus what the gateway would like to have in advance
	Hold int64 // how long a permit may be kept before it is spent
}

// Verdict is the answer to an ask.
type Verdict struct {
	Granted int64 // of Need
	Extra   int64 // lent in advance
	Now     int64 // the instant of the decision
	Retry   int64 // time until one more unit is free; 0 when Need was granted in full
	Limits  [limit.MaxLimits]Standing
}

// Standing is where one limit is after the decision.
type Standing struct {
	Remaining int64
	Reset     int64
	Violated  bool
}

// Fill translates the verdict into the decision on one request under p.
func (v *Verdict) Fill(d *limit.Decision, p *limit.Policy, allowed bool) {
	d.Allowed, d.Len = allowed, len(p.Limits)
	for i := range p.Limits {
		from, to := &v.Limits[i], &d.States[i]
		to.Remaining = from.Remaining
		to.Reset = time.Duration(from.Reset) * time.Microsecond
		to.Violated = from.Violated
	}
	if !allowed {
		d.RetryAfter = max(time.Duration(v.Retry)*time.Microsecond, time.Microsecond)
	}
}

// lendShare bounds what is lent in advance to a share of what is left. Lending
// thus fades out near the limit and stops at lendShare-1, from where on the
// quota is served request by request and every answer is exact.
const lendShare = 8

// concurrentRetry is the wait suggested to a request refused because too many
// are in progress.
const concurrentRetry = Second

// Counters are those of a key, by level. One of a level that a policy does not
// name is not touched and may be nil.
type Counters [2]*Counter

// decision is what the steps of Decide share.
type decision struct {
	p        *limit.Policy
	counters *Counters
	ask      Ask
	now      int64
	at       [limit.MaxLimits]int // index of each limit's window in its counter
	known    [2]int               // number of windows each counter had before
}

// Decide charges the counters of a key with as much of a as fits every limit
// of p. It is the one definition of the algorithm: the script in acquire.lua is
// held to give the same answers.
func Decide(p *limit.Policy, counters *Counters, now int64, a Ask, v *Verdict) {
	d := decision{p: p, counters: counters, ask: a, now: now}
	d.expire()
	avail := d.open()
	v.Now, v.Retry, v.Extra, v.Granted = d.now, 0, 0, a.Need
	if avail < a.Need {
		v.Granted = avail / a.Unit * a.Unit
	} else if spare := a.Want - a.Need; spare > 0 {
		v.Extra = min(spare, (avail-a.Need)/lendShare)
	}
	if v.Granted+v.Extra > 0 {
		d.charge(v)
	}
	for i := range p.Limits {
		d.describe(i, v)
	}
	if v.Granted+v.Extra == 0 {
		d.forget()
	}
}

// expire brings the counters to one instant: the latest that any of them has
// seen, because time never runs backwards.
func (d *decision) expire() {
	for level, c := range d.counters {
		if d.p.Names(limit.Level(level)) {
			d.now = max(d.now, c.Seen)
		}
	}
	for level, c := range d.counters {
		if d.p.Names(limit.Level(level)) {
			c.expire(d.now)
			d.known[level] = len(c.Windows)
		}
	}
}

// open finds or makes the window of every limit and returns how much all of them
// have left, in cost.
func (d *decision) open() int64 {
	avail := int64(limit.MaxQuota)
	var hints [2]int
	for i := range d.p.Limits {
		l := &d.p.Limits[i]
		id, c := IDOf(l), d.counters[l.Level]
		d.at[i] = c.open(id, hints[l.Level], d.now)
		hints[l.Level]++
		free := l.N - c.Windows[d.at[i]].Sum
		if id == Concurrent {
			// Requests in progress count as one each, whatever they cost. The
			// product is only needed where it could be the smallest.
			free = min(max(free, 0), avail/d.ask.Unit+1) * d.ask.Unit
		}
		avail = min(avail, free)
	}
	return max(avail, 0)
}

func (d *decision) charge(v *Verdict) {
	for level, c := range d.counters {
		if level := limit.Level(level); d.p.Names(level) {
			c.charge(d.p, level, d.now, d.ask.Hold, v.Granted+v.Extra, v.Granted/d.ask.Unit)
		}
	}
}

// describe tells where limit i stands now.
func (d *decision) describe(i int, v *Verdict) {
	l := &d.p.Limits[i]
	w := &d.counters[l.Level].Windows[d.at[i]]
	st := &v.Limits[i]
	left, unit := l.N-w.Sum, d.ask.Unit
	if w.ID == Concurrent {
		unit = 1
	}
	st.Remaining = max(left, 0)
	st.Violated = v.Granted < d.ask.Need && left < unit
	st.Reset = 0
	switch {
	case st.Violated && w.ID == Concurrent:
		// Nobody knows when a request in progress ends.
		v.Retry = max(v.Retry, concurrentRetry)
	case st.Violated:
		st.Reset = w.untilFree(d.now, l.N-unit)
		v.Retry = max(v.Retry, st.Reset)
	case len(w.Cells) > 0:
		st.Reset = w.Cells[0].Exp - d.now
	}
}

// forget takes back the windows that were opened: a refusal leaves nothing
// behind, so it does not begin windows either.
func (d *decision) forget() {
	for level, c := range d.counters {
		if d.p.Names(limit.Level(level)) {
			c.Windows = c.Windows[:d.known[level]]
		}
	}
}

// GiveBack takes n permits, granted at an instant and never spent, out of the
// windows that p charged. Each is taken from the cell it was charged to, or
// from one that expires sooner, so what remains counts no shorter. It must be
// called at most once for a grant, and only if the counters still are those
// that were charged.
func GiveBack(p *limit.Policy, counters *Counters, now, at, hold, n int64) {
	for level, c := range counters {
		level := limit.Level(level)
		if !p.Names(level) {
			continue
		}
		now = max(now, c.Seen)
		c.expire(now)
		for i := range c.Windows {
			w := &c.Windows[i]
			if w.ID == Concurrent || !names(p, w.ID, level) {
				continue
			}
			// A charge that has lapsed is in none of the cells: they are others'.
			if exp := w.ID.expiry(at, hold); exp > now {
				w.giveBack(exp, n)
			}
		}
	}
}
