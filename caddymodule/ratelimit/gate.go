package ratelimit

import (
	"sync"
	"time"
)

// waiter is a request that waits for the store. Its fields are guarded by the
// lock of its entry's shard until done is closed.
type waiter struct {
	p    *Policy
	cost int64
	done chan struct{}
	gone bool // it stopped waiting; its permit must not be spent

	d    Decision
	slot *Slot
	err  error
}

// entry is what the gateway keeps for one key: what it holds, and who waits.
// At most one call for a key is in flight; requests that arrive meanwhile
// wait for the next one, which asks for all of them at once.
type entry struct {
	key     Key
	purse   purse
	waiters []*waiter
	calling bool
	removed bool // no longer in the table
}

type gateShard struct {
	mu      sync.Mutex
	entries map[Key]*entry
	_       [40]byte
}

// gate is the table of entries. A key is in it while it has something to
// remember; a key with a small quota that is not refused has not.
type gate struct {
	perMax int
	shards [shards]gateShard
}

func (g *gate) shard(key Key) *gateShard { return &g.shards[shardOfKey(key)] }

// entry returns the entry of key, made if it is missing. The caller holds the
// shard's lock.
func (s *gateShard) entry(key Key, now int64) *entry {
	e := s.entries[key]
	if e == nil {
		if s.entries == nil {
			s.entries = make(map[Key]*entry)
		}
		s.sweep(now, sweepStep)
		e = &entry{key: key}
		s.entries[key] = e
	}
	return e
}

func (s *gateShard) sweep(now int64, n int) {
	for key, e := range s.entries {
		if e.disposable(now) {
			e.removed = true
			delete(s.entries, key)
		}
		if n--; n <= 0 {
			return
		}
	}
}

func (e *entry) disposable(now int64) bool {
	return !e.calling && len(e.waiters) == 0 && e.purse.idle(now)
}

// settle drops the entry if there is nothing to remember, or no room to.
func (s *gateShard) settle(e *entry, now, hold int64, perMax int) {
	if e.removed || e.calling || len(e.waiters) > 0 {
		return
	}
	full := len(s.entries) > perMax && e.purse.inHand(now) == 0
	nothing := e.purse.limits == nil || now >= e.purse.denyUntil && hold == 0
	if full || nothing || e.disposable(now) {
		e.removed = true
		delete(s.entries, e.key)
	}
}

// batch takes the waiters that one call can serve: the first ones of the
// queue that agree in policy and cost and have not gone.
func (e *entry) batch(limit int) []*waiter {
	var head []*waiter
	i := 0
	for ; i < len(e.waiters) && len(head) < limit; i++ {
		w := e.waiters[i]
		if w.gone {
			continue
		}
		if len(head) > 0 && (w.p.hash != head[0].p.hash || w.cost != head[0].cost) {
			break
		}
		head = append(head, w)
	}
	e.waiters = append(e.waiters[:0:0], e.waiters[i:]...)
	if len(e.waiters) == 0 {
		e.waiters = nil
	}
	return head
}

// serve hands the permits that were granted for them to the waiters of a call,
// first come, first served, and returns how many were used. The rest of the
// waiters is refused.
func serve(p *Policy, a ask, v *verdict, waiters []*waiter, inHand int64) (used int64) {
	left := v.granted
	for _, w := range waiters {
		allowed := left >= a.unit
		if w.gone {
			// Its permit stays with the purse, or is returned.
			if allowed {
				left -= a.unit
				inHand += a.unit
			}
			continue
		}
		if allowed {
			left -= a.unit
			used += a.unit
		}
		v.fill(&w.d, p, allowed)
		for i := range p.nspecs {
			st := &w.d.States[i]
			if !allowed {
				continue
			}
			if p.specs[i].id == concurrentID {
				st.Remaining += left / a.unit
			} else {
				// What others of this call are about to get is still left as this
				// one is told: each sees one less than the one before.
				st.Remaining += left + inHand
			}
			st.Violated = false
		}
		w.d.Slot = w.slot
		close(w.done)
	}
	return used
}

// fail tells the waiters of a call that it failed.
func fail(waiters []*waiter, err error) {
	for _, w := range waiters {
		if !w.gone {
			w.err = err
			close(w.done)
		}
	}
}

// monotonic returns a clock in microseconds that only ever goes forward at the
// machine's rate. It starts above zero, which stands for never.
func monotonic() func() int64 {
	start := time.Now().Add(-time.Hour)
	return func() int64 { return int64(time.Since(start) / time.Microsecond) }
}
