package window

import (
	"slices"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
)

// Counter is what is stored for one level of one key: a window for each that a
// policy named lately. The zero value has counted nothing.
type Counter struct {
	Seen    int64 // the latest instant looked at; time never runs backwards from it
	Windows []Window
}

// Empty tells whether the counter can be forgotten without anyone being able
// to tell.
func (c *Counter) Empty(now int64) bool {
	for i := range c.Windows {
		w := &c.Windows[i]
		if last := len(w.Cells) - 1; last >= 0 && w.Cells[last].Exp > now || w.ID == Concurrent && w.Sum > 0 {
			return false
		}
	}
	return c.Seen <= now
}

// find returns the index of the window id. The hint is where it usually is.
func (c *Counter) find(id ID, hint int) int {
	if hint < len(c.Windows) && c.Windows[hint].ID == id {
		return hint
	}
	for i := range c.Windows {
		if c.Windows[i].ID == id {
			return i
		}
	}
	return -1
}

// open returns the index of the window id, made if it is missing. A new
// window takes over what is known from the shortest stored window that is at
// least as long, or else from the longest shorter one: a plan that changes
// its windows does not give back what was consumed.
func (c *Counter) open(id ID, hint int, now int64) int {
	if i := c.find(id, hint); i >= 0 {
		return i
	}
	fresh := Window{ID: id}
	if from := c.closest(id); from >= 0 && id.Rolling() {
		src := c.Windows[from]
		for _, cell := range src.Cells {
			if exp := cell.Exp - int64(src.ID) + int64(id); exp > now {
				fresh.charge(exp, cell.N)
			}
		}
	}
	if c.Windows == nil {
		c.Windows = make([]Window, 0, 1)
	}
	c.Windows = append(c.Windows, fresh)
	return len(c.Windows) - 1
}

func (c *Counter) closest(id ID) int {
	best := -1
	for i := range c.Windows {
		have := c.Windows[i].ID
		switch {
		case !have.Rolling():
		case best < 0:
			best = i
		case have >= id && (c.Windows[best].ID < id || have < c.Windows[best].ID):
			best = i
		case have < id && c.Windows[best].ID < id && have > c.Windows[best].ID:
			best = i
		}
	}
	return best
}

// expire drops what no longer counts: cells that have left their window, and
// windows that no policy has named for their whole length.
func (c *Counter) expire(now int64) {
	c.Seen = now
	forgotten := false
	for i := range c.Windows {
		w := &c.Windows[i]
		w.expire(now)
		if w.Until != 0 && w.Until <= now {
			w.ID, forgotten = 0, true
		}
	}
	if forgotten {
		c.Windows = slices.DeleteFunc(c.Windows, func(w Window) bool { return w.ID == 0 })
	}
}

// charge debits every stored window, also those that the present policy does
// not name: gateways with an older configuration may still count them, and a
// plan may come back to them. Requests in progress are not debited, but counted.
func (c *Counter) charge(p *limit.Policy, level limit.Level, now, hold, n, requests int64) {
	for i := range c.Windows {
		w := &c.Windows[i]
		if w.ID == Concurrent {
			if p.NamesSlots(level) {
				w.Sum += requests
			}
			continue
		}
		exp := w.ID.expiry(now, hold)
		switch {
		case names(p, w.ID, level):
			w.Until = 0
		case w.Until == 0:
			w.Until = exp
		}
		w.charge(exp, n)
	}
}

// Vacate takes one request in progress back.
func (c *Counter) Vacate() {
	if i := c.find(Concurrent, 0); i >= 0 && c.Windows[i].Sum > 0 {
		c.Windows[i].Sum--
	}
}

func names(p *limit.Policy, id ID, level limit.Level) bool {
	for i := range p.Limits {
		if l := &p.Limits[i]; l.Level == level && IDOf(l) == id {
			return true
		}
	}
	return false
}

// Saved returns a copy of what outlives the process: requests in progress end
// with it.
func (c *Counter) Saved() Counter {
	saved := Counter{Seen: c.Seen}
	for _, w := range c.Windows {
		if w.ID != Concurrent {
			w.Cells = slices.Clone(w.Cells)
			saved.Windows = append(saved.Windows, w)
		}
	}
	return saved
}

// Valid tells whether the counter is one that this package could have made. One
// that was read from a file is checked before it is used.
func (c *Counter) Valid() bool {
	for i := range c.Windows {
		w := &c.Windows[i]
		sum := int64(0)
		for j, cell := range w.Cells {
			if cell.N < 0 || j > 0 && cell.Exp < w.Cells[j-1].Exp {
				return false
			}
			sum += cell.N
		}
		if !w.ID.valid() || w.Sum != sum {
			return false
		}
	}
	return true
}

// Shift moves everything by a length of time, as if the clock had been set when
// it was counted as it is now.
func (c *Counter) Shift(by int64) {
	c.Seen += by
	for i := range c.Windows {
		w := &c.Windows[i]
		if w.Until != 0 {
			w.Until += by
		}
		for j := range w.Cells {
			w.Cells[j].Exp += by
		}
	}
}
