package ratelimit

// ask is what a gateway wants from an account.
type ask struct {
	need int64 // permits for requests that wait now
	unit int64 // cost of each of them; need is a multiple of it
	want int64 // need plus what the gateway would like to have in advance
	hold int64 // how long a permit may be kept before it is spent
}

// lendShare bounds what is lent in advance to a share of what is left. Lending
// thus fades out near the limit and stops at lendShare-1, from where on the
// quota is served request by request and every answer is exact.
const lendShare = 8

// concurrentRetry is the wait suggested to a request refused because too many
// are in progress.
const concurrentRetry = microsPerSecond

// verdict is the answer to an ask.
type verdict struct {
	granted int64 // of need
	extra   int64 // lent in advance
	now     int64 // the instant of the decision
	retry   int64 // time until one more unit is free; 0 when need was granted in full
	limits  [MaxLimits]standing
}

// standing is where one limit is after the decision.
type standing struct {
	remaining int64
	reset     int64
	violated  bool
}

// decide charges the accounts of a key with as much of a as fits every limit
// of p. accounts is indexed by level; a level that p does not name is not
// touched and may be nil. It is the one definition of the algorithm: the
// script in acquire.lua is held to give the same answers.
func decide(p *Policy, accounts *[2]*account, now int64, a ask, v *verdict) {
	for level, acc := range accounts {
		if p.levels[level] {
			now = max(now, acc.seen)
		}
	}

	var known [2]int
	for level, acc := range accounts {
		if p.levels[level] {
			acc.expire(now)
			known[level] = len(acc.windows)
		}
	}
	var at [MaxLimits]int
	var hints [2]int
	avail := int64(MaxQuota)
	for i := range p.specs[:p.nspecs] {
		s := &p.specs[i]
		acc := accounts[s.level]
		at[i] = acc.open(s, hints[s.level], now)
		hints[s.level]++
		free := s.n - acc.windows[at[i]].sum
		if s.id == concurrentID {
			// Requests in progress count as one each, whatever they cost. The
			// product is only needed where it could be the smallest.
			free = min(max(free, 0), avail/a.unit+1) * a.unit
		}
		avail = min(avail, free)
	}
	avail = max(avail, 0)

	v.now, v.retry, v.extra = now, 0, 0
	v.granted = a.need
	if avail < a.need {
		v.granted = avail / a.unit * a.unit
	} else if spare := a.want - a.need; spare > 0 {
		v.extra = min(spare, (avail-a.need)/lendShare)
	}
	if charge := v.granted + v.extra; charge > 0 {
		for level, acc := range accounts {
			if p.levels[level] {
				acc.charge(p, Level(level), now, a.hold, charge)
				acc.occupy(p, Level(level), v.granted/a.unit)
			}
		}
	}
	for i := range p.specs[:p.nspecs] {
		s := &p.specs[i]
		w := &accounts[s.level].windows[at[i]]
		st := &v.limits[i]
		left := s.n - w.sum
		unit := a.unit
		if s.id == concurrentID {
			unit = 1
		}
		st.remaining = max(left, 0)
		st.violated = v.granted < a.need && left < unit
		st.reset = 0
		switch {
		case st.violated && s.id == concurrentID:
			// Nobody knows when a request in progress ends.
			v.retry = max(v.retry, concurrentRetry)
		case st.violated:
			st.reset = w.untilFree(now, s.n-unit)
			v.retry = max(v.retry, st.reset)
		case len(w.cells) > 0:
			st.reset = w.cells[0].exp - now
		}
	}
	if v.granted+v.extra == 0 {
		// A refusal leaves nothing behind, so it does not begin windows either.
		for level, acc := range accounts {
			if p.levels[level] {
				acc.windows = acc.windows[:known[level]]
			}
		}
	}
}

// giveBack takes n permits, granted at an instant and never spent, out of the
// windows that p charged. Each is taken from the cell it was charged to, or
// from one that expires sooner, so what remains counts no shorter. It must be
// called at most once for a grant, and only if the accounts still are those
// that were charged.
func giveBack(p *Policy, accounts *[2]*account, now, at, hold, n int64) {
	for level, acc := range accounts {
		if !p.levels[level] {
			continue
		}
		now = max(now, acc.seen)
		acc.expire(now)
		for i := range acc.windows {
			w := &acc.windows[i]
			if w.id == concurrentID || !p.names(w.id, Level(level)) {
				continue
			}
			exp := w.id.expiry(at, hold)
			if exp <= now {
				// The charge has lapsed; what is left are others'.
				continue
			}
			for j := range w.cells {
				c := &w.cells[j]
				if c.exp < exp {
					continue
				}
				if c.n >= n && (w.id.rolling() || c.exp == exp) {
					c.n -= n
					w.sum -= n
				}
				break
			}
		}
	}
}
