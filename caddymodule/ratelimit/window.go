package ratelimit

import "slices"

// cell is a sum of charges that expire together: the instant at which the
// latest of them leaves the window, and how much they are.
type cell struct {
	exp int64
	n   int64
}

// window is a segmented rolling window, or a calendar period, whose charges all
// expire at its end, or the requests in progress, which have a sum and no
// cells.
//
// Of a rolling window: a charge made at t by permits that may
// be spent until t+hold counts until t+hold+w. Charges whose expiry falls into
// the same grain are merged into one cell that expires with its latest, so no
// charge ever counts for less than its window, and at most one grain longer.
//
// Why it is exact: let g be the last charge before an instant T that admits
// within (T-w, T]. Everything admitted in that interval was charged by then
// and had not yet expired at g, because it was still to be spent, or spent,
// after T-w. The decision at g kept the sum of all unexpired charges within
// the quota.
type window struct {
	id    windowID
	until int64  // 0: named by the policy of the latest charge; otherwise forgotten at this instant
	sum   int64  // over all cells
	cells []cell // in order of expiry
}

// expire drops what has left the window.
func (w *window) expire(now int64) {
	i := 0
	for i < len(w.cells) && w.cells[i].exp <= now {
		w.sum -= w.cells[i].n
		i++
	}
	if i > 0 {
		// Moving the rest to the front keeps the backing array.
		w.cells = w.cells[:copy(w.cells, w.cells[i:])]
	}
}

// charge adds n that expires at exp, or with the latest cell where that is
// later: a policy may shorten its hold, and cells must stay in order.
func (w *window) charge(exp, n int64) {
	w.sum += n
	if last := len(w.cells) - 1; last >= 0 {
		c := &w.cells[last]
		exp = max(exp, c.exp)
		if exp == c.exp || w.id.rolling() && exp/w.id.grain() == c.exp/w.id.grain() {
			c.exp = exp
			c.n += n
			return
		}
		if step := w.id.step(); c.exp%step != 0 {
			c.exp += step - c.exp%step
			exp = max(exp, c.exp)
		}
	}
	if w.cells == nil {
		// Most keys are used once or twice per window.
		w.cells = make([]cell, 0, 1)
	}
	w.cells = append(w.cells, cell{exp, n})
}

// untilFree returns how long after now the sum has fallen to at most limit.
// Below zero it never does: then the window's whole length is named, after
// which the answer would still be the same.
func (w *window) untilFree(now, limit int64) int64 {
	if limit < 0 {
		return w.id.expiry(now, 0) - now
	}
	sum := w.sum
	for _, c := range w.cells {
		if sum <= limit {
			break
		}
		sum -= c.n
		if sum <= limit {
			return c.exp - now
		}
	}
	return 0
}

// account is what is stored for one level of one key.
type account struct {
	seen    int64 // the latest instant looked at; time never runs backwards from it
	windows []window
}

// empty tells whether the account can be forgotten without anyone being able
// to tell.
func (a *account) empty(now int64) bool {
	for i := range a.windows {
		w := &a.windows[i]
		if last := len(w.cells) - 1; last >= 0 && w.cells[last].exp > now || w.id == concurrentID && w.sum > 0 {
			return false
		}
	}
	return a.seen <= now
}

// find returns the index of the window id. The hint is where it usually is.
func (a *account) find(id windowID, hint int) int {
	if hint < len(a.windows) && a.windows[hint].id == id {
		return hint
	}
	for i := range a.windows {
		if a.windows[i].id == id {
			return i
		}
	}
	return -1
}

// open returns the index of the window of s, made if it is missing. A new
// window takes over what is known from the shortest stored window that is at
// least as long, or else from the longest shorter one: a plan that changes
// its windows does not give back what was consumed.
func (a *account) open(s *spec, hint int, now int64) int {
	if i := a.find(s.id, hint); i >= 0 {
		return i
	}
	fresh := window{id: s.id}
	if from := a.closest(s.id); from >= 0 && s.id.rolling() {
		src := a.windows[from]
		for _, c := range src.cells {
			if exp := c.exp - int64(src.id) + int64(s.id); exp > now {
				fresh.charge(exp, c.n)
			}
		}
	}
	if a.windows == nil {
		a.windows = make([]window, 0, 1)
	}
	a.windows = append(a.windows, fresh)
	return len(a.windows) - 1
}

func (a *account) closest(id windowID) int {
	best := -1
	for i := range a.windows {
		have := a.windows[i].id
		switch {
		case !have.rolling():
		case best < 0:
			best = i
		case have >= id && (a.windows[best].id < id || have < a.windows[best].id):
			best = i
		case have < id && a.windows[best].id < id && have > a.windows[best].id:
			best = i
		}
	}
	return best
}

// expire drops what no longer counts: cells that have left their window, and
// windows that no policy has named for their whole length.
func (a *account) expire(now int64) {
	a.seen = now
	forgotten := false
	for i := range a.windows {
		w := &a.windows[i]
		w.expire(now)
		if w.until != 0 && w.until <= now {
			w.id, forgotten = 0, true
		}
	}
	if forgotten {
		a.windows = slices.DeleteFunc(a.windows, func(w window) bool { return w.id == 0 })
	}
}

// charge debits every stored window, also those that the present policy does
// not name: gateways with an older configuration may still count them, and a
// plan may come back to them.
func (a *account) charge(p *Policy, level Level, now, hold, n int64) {
	for i := range a.windows {
		w := &a.windows[i]
		if w.id == concurrentID {
			continue
		}
		exp := w.id.expiry(now, hold)
		switch {
		case p.names(w.id, level):
			w.until = 0
		case w.until == 0:
			w.until = exp
		}
		w.charge(exp, n)
	}
}

// occupy counts requests in progress, if the policy limits them at this level.
func (a *account) occupy(p *Policy, level Level, requests int64) {
	if p.slots[level] {
		a.windows[a.find(concurrentID, 0)].sum += requests
	}
}

// vacate takes one request in progress back.
func (a *account) vacate() {
	if i := a.find(concurrentID, 0); i >= 0 && a.windows[i].sum > 0 {
		a.windows[i].sum--
	}
}

func (p *Policy) names(id windowID, level Level) bool {
	for i := range p.specs[:p.nspecs] {
		if p.specs[i].id == id && p.specs[i].level == level {
			return true
		}
	}
	return false
}
