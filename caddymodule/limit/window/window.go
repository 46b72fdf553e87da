// Package window is the arithmetic of limits: what is charged, what is left and
// when it comes back. It is pure: counters and the time are passed in, and nothing
// here locks, waits or does I/O. The script of the Redis limiter is a second
// implementation of it, and is tested to give the same answers.
//
// Times are microseconds since the Unix epoch and lengths of time are
// microseconds, both as int64: the resolution of Redis TIME, and exact in a Lua
// number until the year 2255.
package window

// Cell is a sum of charges that expire together: the instant at which the
// latest of them leaves the window, and how much they are.
type Cell struct {
	Exp int64
	N   int64
}

// Window is a segmented rolling window, or a calendar period, whose charges all
// expire at its end, or the requests in progress, which have a sum and no
// cells.
//
// Of a rolling window: a charge made at t by permits that may be spent until
// t+hold counts until t+hold+w. Charges whose expiry falls into the same grain are
// merged into one cell that expires with its latest, so no charge ever counts for
// less than its window, and at most one grain longer.
//
// Why it is exact: let g be the last charge before an instant T that admits
// within (T-w, T]. Everything admitted in that interval was charged by then
// and had not yet expired at g, because it was still to be spent, or spent,
// after T-w. The decision at g kept the sum of all unexpired charges within
// the quota.
type Window struct {
	ID    ID
	Until int64  // 0: named by the policy of the latest charge; otherwise forgotten at this instant
	Sum   int64  // over all cells
	Cells []Cell // in order of expiry
}

// expire drops what has left the window.
func (w *Window) expire(now int64) {
	i := 0
	for i < len(w.Cells) && w.Cells[i].Exp <= now {
		w.Sum -= w.Cells[i].N
		i++
	}
	if i > 0 {
		// Moving the rest to the front keeps the backing array.
		w.Cells = w.Cells[:copy(w.Cells, w.Cells[i:])]
	}
}

// charge adds n that expires at exp, or with the latest cell where that is
// later: a policy may shorten its hold, and cells must stay in order.
func (w *Window) charge(exp, n int64) {
	w.Sum += n
	if last := len(w.Cells) - 1; last >= 0 {
		c := &w.Cells[last]
		exp = max(exp, c.Exp)
		if exp == c.Exp || w.ID.Rolling() && exp/w.ID.grain() == c.Exp/w.ID.grain() {
			c.Exp = exp
			c.N += n
			return
		}
		if step := w.ID.step(); c.Exp%step != 0 {
			c.Exp += step - c.Exp%step
			exp = max(exp, c.Exp)
		}
	}
	if w.Cells == nil {
		// Most keys are used once or twice per window.
		w.Cells = make([]Cell, 0, 1)
	}
	w.Cells = append(w.Cells, Cell{exp, n})
}

// untilFree returns how long after now the sum has fallen to at most most.
// Below zero it never does: then the window's whole length is named, after
// which the answer would still be the same.
func (w *Window) untilFree(now, most int64) int64 {
	if most < 0 {
		return w.ID.expiry(now, 0) - now
	}
	sum := w.Sum
	for _, c := range w.Cells {
		if sum <= most {
			break
		}
		sum -= c.N
		if sum <= most {
			return c.Exp - now
		}
	}
	return 0
}

// giveBack takes n out of the cell that a charge which expires at exp went to.
func (w *Window) giveBack(exp, n int64) {
	for i := range w.Cells {
		c := &w.Cells[i]
		if c.Exp < exp {
			continue
		}
		if c.N >= n && (w.ID.Rolling() || c.Exp == exp) {
			c.N -= n
			w.Sum -= n
		}
		return
	}
}
