package ratelimit

import (
	"strconv"
	"time"
)

// call is an acquire in flight for the requests that waited for it.
type call struct {
	entry   *entry
	p       *Policy
	ask     ask
	waiters []*waiter
	sent    int64
	slot    string
}

// retryPause is the wait before asking a store again that is busy with itself.
const retryPause = 2 * time.Millisecond

// begin makes the call for whoever waits at e now, or for permits in advance.
// It returns nil when there is nothing to ask for any more.
func (r *Redis) begin(e *entry) *call {
	s := r.gate.shard(e.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := r.now()
	c := &call{entry: e, sent: now, waiters: e.batch(maxBatch)}
	unit := int64(1)
	if len(c.waiters) > 0 {
		c.p, unit = c.waiters[0].p, c.waiters[0].cost
	} else {
		c.p = e.purse.policy
	}
	c.ask = e.purse.ask(now, c.p, r.holdFor(c.p), unit, len(c.waiters))
	if c.ask.want == 0 {
		e.calling = false
		r.settle(s, e, now)
		return nil
	}
	if c.p.slots != [2]bool{} {
		c.slot = r.name + ":" + strconv.FormatUint(r.slots.next.Add(1), 36) + ":"
	}
	return c
}

func (r *Redis) settle(s *gateShard, e *entry, now int64) {
	s.settle(e, now, r.holdFor(e.purse.policy), r.gate.perMax)
}

// complete hands the store's answer to a call to those who wait for it.
func (r *Redis) complete(g *group, c *call, cmd once) {
	var v verdict
	raw, err := cmd.Result()
	var inc [2]int64
	if err == nil {
		inc, err = parseAcquire(c.p, raw, &v)
	}
	e := c.entry
	s := r.gate.shard(e.key)
	s.mu.Lock()
	if err != nil {
		r.failed(g, c, err)
		s.mu.Unlock()
		return
	}
	now := r.now()
	if c.ask.late(c.sent, now) {
		fail(c.waiters, errBudget)
		c.waiters = nil
	}
	if c.slot != "" {
		r.bookSlots(c, &v)
	}
	inHand := v.extra
	current := e.purse.hash == c.p.hash
	if current {
		inHand += e.purse.inHand(now)
	}
	used := serve(c.p, c.ask, &v, c.waiters, inHand)
	var back []lot
	if current {
		back = e.purse.answer(c.p, c.ask, &v, inc, c.sent, now, used)
	} else if rest := v.granted + v.extra - used; rest > 0 {
		back = []lot{{n: rest, p: c.p, at: v.now, hold: c.ask.hold, inc: inc}}
	}
	r.serveQueue(e, now)
	e.calling = false
	if len(e.waiters) > 0 {
		r.schedule(e)
	} else {
		r.settle(s, e, now)
	}
	holds := c.ask.hold > 0
	s.mu.Unlock()
	r.giveBack(e.key, back)
	if holds {
		r.janitor.start(r)
	}
}

// serveQueue decides those who queued up during the call, as far as its answer
// suffices.
func (r *Redis) serveQueue(e *entry, now int64) {
	kept := e.waiters[:0]
	for _, w := range e.waiters {
		if w.gone {
			continue
		}
		if w.p.hash == e.purse.hash && e.purse.take(now, w.p, w.cost, &w.d) != askStore {
			close(w.done)
			continue
		}
		kept = append(kept, w)
	}
	clear(e.waiters[len(kept):])
	e.waiters = kept
}

// failed ends a call without an answer. The entry's shard is locked.
func (r *Redis) failed(g *group, c *call, err error) {
	e := c.entry
	if notExecuted(err) && !r.closing.Load() && len(c.waiters) > 0 {
		// Those who still wait then are asked for again; within the budget, so
		// this ends.
		e.waiters = append(c.waiters, e.waiters...)
		time.AfterFunc(retryPause, func() { g.push(job{entry: e}) })
		return
	}
	fail(c.waiters, err)
	e.calling = false
	if len(e.waiters) > 0 {
		r.schedule(e)
		return
	}
	r.settle(r.gate.shard(e.key), e, r.now())
}

// giveBack sends returns for lots that are no longer in any purse. They are
// sent at most once: an answer that is lost leaves them charged.
func (r *Redis) giveBack(key Key, lots []lot) {
	for _, l := range lots {
		r.groupOf(key).push(job{
			script: returnScript,
			keys:   acquireKeys(r.namespace, key, l.p)[:l.p.accounts()],
			args:   returnArgs(l.p, l.n, l.at, l.hold, l.inc),
		})
	}
}
