package ratelimit

import "time"

// A gateway's side of leasing, as pure decisions: times are passed in, and
// are the gateway's own monotonic microseconds except where said otherwise.
// The simulator in the tests runs this very code.

// drift is the largest assumed difference between the rates of two clocks,
// as a divisor: 1/1000.
const drift = 1000

// lot is a grant of permits in hand. Permits may be spent until the deadline,
// which lies hold after the call that got them was *sent*: the store charged
// them after that, and keeps the charge for the window plus hold. So a permit
// spent in time is always still charged for its whole window, with nothing
// assumed about the clocks but their rate.
type lot struct {
	n        int64
	deadline int64

	// What a return must name.
	p    *Policy
	at   int64 // instant of the grant, by the store's clock
	hold int64
	inc  [2]int64
}

// purse is what a gateway holds and knows of one key. The zero value holds
// and knows nothing.
type purse struct {
	hash     uint64     // of the policy under which the rest was answered
	policy   *Policy    // what permits in advance are asked under
	limits   []standing // by the store, in the latest answer
	answered int64      // when that arrived

	// After a refusal: requests of at least deniedCost are refused without
	// asking until denyUntil, and told to come back at retryAt.
	deniedCost int64
	denyUntil  int64
	retryAt    int64
	denials    int

	lots      [2]lot // spent in this order
	rate      rate
	lastGrant int64
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

func (r *rate) note(now, cost int64) {
	if r.since == 0 {
		r.since = now
	}
	r.count += cost
	passed := now - r.since
	if passed < rateInterval && (r.perSecond > 0 || r.count < rateSamples || passed < rateMinimum) {
		return
	}
	measured := float64(r.count) * microsPerSecond / float64(passed)
	if r.perSecond == 0 || passed > 20*rateInterval {
		r.perSecond = measured
	}
	r.perSecond += (measured - r.perSecond) / 2
	r.count, r.since = 0, now
}

type outcome uint8

const (
	askStore outcome = iota
	admitted
	refused
)

// adopt makes the purse one of policy p. What it got under another policy is
// handed out to be returned: it was not charged as p demands.
func (u *purse) adopt(now int64, p *Policy) []lot {
	if u.hash == p.hash {
		return nil
	}
	back := u.empty(now)
	u.hash, u.policy, u.limits, u.denyUntil, u.denials = p.hash, p, nil, 0, 0
	return back
}

// take decides a request from what is in hand or known, if that suffices.
func (u *purse) take(now int64, p *Policy, cost int64, d *Decision) outcome {
	if now < u.denyUntil && cost >= u.deniedCost {
		u.describe(d, p, now, 0, cost, false)
		return refused
	}
	u.rate.note(now, cost)
	for i := range u.lots {
		l := &u.lots[i]
		if l.n >= cost && now < l.deadline {
			l.n -= cost
			u.describe(d, p, now, u.inHand(now), cost, true)
			return admitted
		}
	}
	return askStore
}

// inHand is the number of permits that can be spent now.
func (u *purse) inHand(now int64) int64 {
	n := int64(0)
	for i := range u.lots {
		if now < u.lots[i].deadline {
			n += u.lots[i].n
		}
	}
	return n
}

// target is how many permits the purse would like to hold: what is expected
// to be spent within two fifths of the hold, but at most about twice what it
// last got, so that it grows step by step, and at most a hundredth of the
// quota, so that what others see as left is nearly true.
func (u *purse) target(p *Policy, hold int64) int64 {
	if hold == 0 {
		return 0
	}
	want := int64(u.rate.perSecond * float64(hold) * 0.4 / microsPerSecond)
	if want < 4 {
		return 0
	}
	return min(want, 2*u.lastGrant+2, max(1, p.smallest/100))
}

// low tells whether it is time to ask for more in advance.
func (u *purse) low(now int64, p *Policy, hold int64) bool {
	t := u.target(p, hold)
	return t > 0 && u.inHand(now) < t/4
}

// ask makes the ask for requests that wait now.
func (u *purse) ask(now int64, p *Policy, hold, unit int64, requests int) ask {
	a := ask{need: unit * int64(requests), unit: unit, hold: hold}
	a.want = a.need + max(0, u.target(p, hold)-u.inHand(now))
	return a
}

// late tells whether an answer came when permits of its grant could no longer
// be spent. Requests that still wait for them must not be admitted.
func (a ask) late(sent, received int64) bool {
	return a.hold > 0 && received >= sent+a.hold-a.hold/drift
}

// answer takes in what the store said to a. used permits have gone to the
// requests that waited; the rest is kept, or handed out to be returned.
func (u *purse) answer(p *Policy, a ask, v *verdict, inc [2]int64, sent, received, used int64) []lot {
	if cap(u.limits) < p.nspecs {
		u.limits = make([]standing, p.nspecs)
	}
	u.limits = u.limits[:p.nspecs]
	copy(u.limits, v.limits[:p.nspecs])
	u.answered = received
	u.note(p, a, v, sent, received)
	u.lastGrant = v.granted + v.extra

	rest := lot{n: v.granted + v.extra - used, p: p, at: v.now, hold: a.hold, inc: inc}
	if rest.n == 0 {
		return nil
	}
	hold := a.hold
	for i := range p.specs[:p.nspecs] {
		// A calendar period's permits must be spent within the period, and its
		// reset is its end.
		if id := p.specs[i].id; !id.rolling() && id != concurrentID {
			hold = min(hold, v.limits[i].reset)
		}
	}
	rest.deadline = sent + hold - hold/drift
	if rest.deadline <= received {
		return []lot{rest}
	}
	var back []lot
	u.lapse(received)
	switch {
	case u.lots[1].n > 0:
		back = append(back, u.lots[0])
		u.lots[0], u.lots[1] = u.lots[1], rest
	case u.lots[0].n > 0:
		u.lots[1] = rest
	default:
		u.lots[0] = rest
	}
	return back
}

// note remembers a refusal, so that it needs not be asked again before it can
// have changed.
func (u *purse) note(p *Policy, a ask, v *verdict, sent, received int64) {
	if v.granted == a.need {
		if a.need > 0 {
			u.denyUntil, u.denials = 0, 0
		}
		return
	}
	for i := range p.specs[:p.nspecs] {
		if p.specs[i].id == concurrentID && v.limits[i].violated {
			// A request in progress may end at any time.
			u.denyUntil = 0
			return
		}
	}
	wait := v.retry
	if a.hold > 0 && u.denials == 0 {
		// Other gateways may return what they hold within the hold.
		wait = min(wait, a.hold)
	}
	u.denials++
	u.deniedCost = a.unit
	// Not later than the store's instant even if this clock runs slow: a
	// client that waited as told must not be refused from memory. The last
	// bit is not worth asking early for.
	if wait > 50_000 {
		wait -= wait / drift
	}
	u.denyUntil = sent + wait
	u.retryAt = received + v.retry
}

// lapse drops what is past its deadline: the store lets its charge lapse. It
// must not be returned any more, because by the time that arrives the charge
// may be gone and others' in its place.
func (u *purse) lapse(now int64) {
	for i := range u.lots {
		if now >= u.lots[i].deadline {
			u.lots[i] = lot{}
		}
	}
	if u.lots[0].n == 0 {
		u.lots[0], u.lots[1] = u.lots[1], lot{}
	}
}

// retire hands out the lots that should be returned by now: those near their
// deadline, which are swapped out of the purse first, so that a permit cannot
// be both spent and returned.
func (u *purse) retire(now int64) []lot {
	u.lapse(now)
	var back []lot
	for i := range u.lots {
		if l := &u.lots[i]; l.n > 0 && now >= l.deadline-l.hold/10 {
			back = append(back, *l)
			*l = lot{}
		}
	}
	u.lapse(now)
	return back
}

// empty hands out everything in hand.
func (u *purse) empty(now int64) []lot {
	u.lapse(now)
	var back []lot
	for i := range u.lots {
		if u.lots[i].n > 0 {
			back = append(back, u.lots[i])
		}
		u.lots[i] = lot{}
	}
	return back
}

// idle tells whether the purse can be forgotten: nothing in hand, nothing
// refused, and no rate worth knowing.
func (u *purse) idle(now int64) bool {
	return u.lots[0].n == 0 && u.lots[1].n == 0 && now >= u.denyUntil && now-u.rate.since > 20*rateInterval
}

// describe fills in a decision from the latest answer. Permits in hand were
// charged already and are still the client's to use, so they count as left.
func (u *purse) describe(d *Decision, p *Policy, now, inHand, cost int64, allowed bool) {
	d.Allowed = allowed
	d.Len = p.nspecs
	passed := now - u.answered
	for i := range u.limits {
		l := &u.limits[i]
		st := &d.States[i]
		st.Remaining = l.remaining + inHand
		st.Reset = time.Duration(max(0, l.reset-passed)) * time.Microsecond
		if !allowed {
			st.Violated = st.Remaining < cost
		}
	}
	if !allowed {
		d.RetryAfter = time.Duration(max(1, u.retryAt-now)) * time.Microsecond
	}
}
