// Package sketch counts events per client address in fixed memory, however
// many addresses there are: a count-min sketch (Cormode and Muthukrishnan,
// 2005) with conservative update, over a moving time.
//
// It is for failed attempts: a limit that took memory for each client would let
// an attacker with many addresses use up the memory.
package sketch

import (
	"hash/maphash"
	"math"
	"net/netip"
	"sync/atomic"
	"time"
)

const (
	rows      = 4
	widthBits = 14
	width     = 1 << widthBits
)

// Counter counts events per address. It holds about half a megabyte, never
// more. It is safe for concurrent use and takes no lock.
//
// A count is at least the address's events of the last window, except that of
// two at the very same moment one may be missed. It is at most those of the last
// two windows and what other addresses left in the same cells: a few dozen, when
// a million addresses had one event each. Which addresses share cells is secret
// and differs from process to process, so that nobody can aim at another's.
type Counter struct {
	window time.Duration
	seed   maphash.Seed
	pair   atomic.Pointer[pair]
}

// pair is the running window and the one before it.
type pair struct {
	start    time.Time
	cur, old *table
}

type table [rows][width]atomic.Uint32

// New returns a counter over the window, which is more than zero.
func New(window time.Duration) *Counter {
	return &Counter{window: window, seed: maphash.MakeSeed()}
}

// Add counts one event at now and returns the count with it.
func (c *Counter) Add(addr netip.Addr, now time.Time) uint32 {
	p, cells := c.at(now), c.cells(addr)
	least := estimate(p.cur, cells)
	for row := range rows {
		// Conservative update: a cell that holds more than the estimate has it from
		// other addresses, and counts this event already.
		if cell := &p.cur[row][cells[row]]; cell.Load() == least && least < math.MaxUint32 {
			cell.CompareAndSwap(least, least+1)
		}
	}
	return saturate(estimate(p.cur, cells), estimate(p.old, cells))
}

// Count returns the count at now and changes nothing.
func (c *Counter) Count(addr netip.Addr, now time.Time) uint32 {
	p, cells := c.at(now), c.cells(addr)
	return saturate(estimate(p.cur, cells), estimate(p.old, cells))
}

// Until returns when the address's count is below most, if nothing is added meanwhile.
func (c *Counter) Until(addr netip.Addr, most uint32, now time.Time) time.Time {
	p, cells := c.at(now), c.cells(addr)
	switch cur := estimate(p.cur, cells); {
	case saturate(cur, estimate(p.old, cells)) < most:
		return now
	case cur < most: // a window is forgotten as a whole, when the next one is over
		return p.start.Add(c.window)
	}
	return p.start.Add(2 * c.window)
}

// at returns the windows of now. A clock that goes back stays in the running
// window.
func (c *Counter) at(now time.Time) *pair {
	for {
		p := c.pair.Load()
		var next *pair
		switch {
		case p == nil, now.Sub(p.start) >= 2*c.window:
			next = &pair{start: now, cur: new(table), old: new(table)}
		case now.Sub(p.start) >= c.window:
			next = &pair{start: p.start.Add(c.window), cur: new(table), old: p.cur}
		default:
			return p
		}
		if c.pair.CompareAndSwap(p, next) {
			return next
		}
	}
}

func (c *Counter) cells(addr netip.Addr) (cells [rows]uint64) {
	h := maphash.Comparable(c.seed, addr)
	for row := range rows {
		cells[row] = h >> (row * widthBits) & (width - 1)
	}
	return cells
}

func estimate(t *table, cells [rows]uint64) uint32 {
	least := uint32(math.MaxUint32)
	for row := range rows {
		least = min(least, t[row][cells[row]].Load())
	}
	return least
}

func saturate(a, b uint32) uint32 {
	if a > math.MaxUint32-b {
		return math.MaxUint32
	}
	return a + b
}
