package redis

import (
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

// simGateway is one gateway: the real entries and caches, and in place of the
// sockets and timers the world's events.
type simGateway struct {
	w       *world
	rate    float64
	offset  int64
	entries map[limit.Key]*entry
	cut     bool // partitioned from the store
	life    int  // counts crashes: answers to an earlier life are lost
}

const simBudget = 20_000

func (g *simGateway) clock() int64 {
	return g.offset + int64(float64(g.w.now-simStart)*g.rate)
}

func (g *simGateway) entry(key limit.Key) *entry {
	if g.entries[key] == nil {
		g.entries[key] = &entry{key: key}
	}
	return g.entries[key]
}

// request is one request at the gateway. done is told whether it was admitted
// and may be nil.
func (g *simGateway) request(key limit.Key, cost int64, done func(limit.Decision, error)) {
	w := g.w
	w.requests++
	p := w.policy
	e := g.entry(key)
	g.giveBack(key, e.cache.adopt(g.clock(), p))
	var d limit.Decision
	switch e.cache.take(g.clock(), p, cost, &d) {
	case admitted:
		w.admit(key, cost)
		fallthrough
	case refused:
		if d.Allowed && !e.calling && e.cache.low(g.clock(), w.terms(p)) {
			g.call(e)
		}
		if done != nil {
			done(d, nil)
		}
		return
	}
	wt := &waiter{p: p, cost: cost, done: make(chan struct{})}
	e.waiters = append(e.waiters, wt)
	if !e.calling {
		g.call(e)
	}
	w.after(simBudget, func() {
		select {
		case <-wt.done:
		default:
			wt.gone = true
			if done != nil {
				done(limit.Decision{}, limit.ErrStoreUnavailable)
			}
		}
	})
	if done != nil {
		g.onDone(wt, done)
	}
}

func (g *simGateway) onDone(wt *waiter, done func(limit.Decision, error)) {
	g.w.after(100, func() {
		select {
		case <-wt.done:
			done(wt.d, wt.err)
		default:
			if !wt.gone {
				g.onDone(wt, done)
			}
		}
	})
}

func (w *world) admit(key limit.Key, cost int64) {
	w.admissions[key] = append(w.admissions[key], admission{w.now, cost})
}

// call sends an acquire for whoever waits at e.
func (g *simGateway) call(e *entry) {
	w := g.w
	e.calling = true
	life := g.life
	c := e.call(g.clock(), w.terms)
	if c == nil {
		e.calling = false
		return
	}
	// The reply, or the read timeout, ends the call.
	ended := false
	end := func(reply func()) {
		if ended || life != g.life {
			return
		}
		ended = true
		reply()
		e.calling = false
		if len(e.waiters) > 0 {
			g.call(e)
		}
	}
	copies := 1
	if w.rng.Float64() < w.twice {
		copies = 2
	}
	for range copies {
		if g.cut || w.rng.Float64() < w.loss {
			continue
		}
		w.after(w.delay(), func() {
			v, inc := w.acquire(e.key, c.p, c.ask)
			at := w.now
			if g.cut || w.rng.Float64() < w.loss {
				return
			}
			w.after(w.delay(), func() {
				end(func() {
					c.verdict, c.inc = v, inc
					g.answer(c, at)
				})
			})
		})
	}
	w.after(20*window.Second, func() { end(func() { fail(c.waiters, limit.ErrStoreUnavailable) }) })
}

func (g *simGateway) answer(c *call, decided int64) {
	w, e := g.w, c.entry
	c.received = g.clock()
	if w.mutant == deadlineFromReply {
		c.sent = c.received
	}
	g.giveBack(e.key, e.answer(c))
	for _, wt := range c.waiters {
		if !wt.gone && wt.d.Allowed {
			at := w.now
			if c.ask.Hold == 0 {
				// Decided request by request: the store's decision is the instant.
				at = decided
			}
			w.admissions[e.key] = append(w.admissions[e.key], admission{at, wt.cost})
		}
	}
	for i := range e.cache.leases {
		if w.mutant == spendAfterDeadline && e.cache.leases[i].n > 0 {
			e.cache.leases[i].deadline = 1 << 62
		}
	}
	g.scheduleRetire(e)
	waiting := e.waiters
	e.waiters = append([]*waiter(nil), waiting...)
	e.serveQueue(c.received)
	for _, wt := range waiting {
		if !wt.gone && wt.d.Allowed {
			w.admit(e.key, wt.cost)
		}
	}
}

// scheduleRetire plays the janitor.
func (g *simGateway) scheduleRetire(e *entry) {
	life := g.life
	for _, l := range e.cache.leases {
		if l.n == 0 {
			continue
		}
		g.w.after(l.deadline-l.hold/10-g.clock(), func() {
			if life != g.life {
				return
			}
			if g.w.lazy {
				return
			}
			leases := e.cache.leases
			back := e.cache.retire(g.clock())
			if g.w.mutant == returnAndKeep && len(back) > 0 {
				e.cache.leases = leases
			}
			g.giveBack(e.key, back)
		})
	}
}

func (g *simGateway) giveBack(key limit.Key, leases []lease) {
	w := g.w
	for _, l := range leases {
		copies := 1
		if w.mutant == returnTwice {
			copies = 2
		}
		for range copies {
			if g.cut || w.rng.Float64() < w.loss {
				continue
			}
			w.after(w.delay(), func() { w.takeBack(key, l) })
		}
	}
}

// crash loses what the gateway held, without a word to the store.
func (g *simGateway) crash() {
	g.life++
	g.entries = map[limit.Key]*entry{}
}
