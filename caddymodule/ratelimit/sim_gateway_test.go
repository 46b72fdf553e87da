package ratelimit

// simGateway is one gateway: the real entries and purses, and in place of the
// sockets and timers the world's events.
type simGateway struct {
	w       *world
	rate    float64
	offset  int64
	entries map[Key]*entry
	cut     bool // partitioned from the store
	life    int  // counts crashes: answers to an earlier life are lost
}

const simBudget = 20_000

func (g *simGateway) clock() int64 {
	return g.offset + int64(float64(g.w.now-simStart)*g.rate)
}

func (g *simGateway) entry(key Key) *entry {
	if g.entries[key] == nil {
		g.entries[key] = &entry{key: key}
	}
	return g.entries[key]
}

// request is one request at the gateway. done is told whether it was admitted
// and may be nil.
func (g *simGateway) request(key Key, cost int64, done func(Decision, error)) {
	w := g.w
	w.requests++
	p := w.policy
	e := g.entry(key)
	g.giveBack(key, e.purse.adopt(g.clock(), p))
	var d Decision
	switch e.purse.take(g.clock(), p, cost, &d) {
	case admitted:
		w.admit(key, cost)
		fallthrough
	case refused:
		if d.Allowed && !e.calling && e.purse.low(g.clock(), p, p.hold) {
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
				done(Decision{}, ErrStoreUnavailable)
			}
		}
	})
	if done != nil {
		g.onDone(wt, done)
	}
}

func (g *simGateway) onDone(wt *waiter, done func(Decision, error)) {
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

func (w *world) admit(key Key, cost int64) {
	w.admissions[key] = append(w.admissions[key], admission{w.now, cost})
}

// call sends an acquire for whoever waits at e.
func (g *simGateway) call(e *entry) {
	w := g.w
	e.calling = true
	life := g.life
	waiters := e.batch(maxBatch)
	p, unit := e.purse.policy, int64(1)
	if len(waiters) > 0 {
		p, unit = waiters[0].p, waiters[0].cost
	}
	sent := g.clock()
	a := e.purse.ask(sent, p, p.hold, unit, len(waiters))
	if a.want == 0 {
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
			v, inc := w.acquire(e.key, p, a)
			at := w.now
			if g.cut || w.rng.Float64() < w.loss {
				return
			}
			w.after(w.delay(), func() {
				end(func() { g.answer(e, p, a, &v, inc, waiters, sent, at) })
			})
		})
	}
	w.after(20*microsPerSecond, func() { end(func() { fail(waiters, ErrStoreUnavailable) }) })
}

func (g *simGateway) answer(e *entry, p *Policy, a ask, v *verdict, inc [2]int64, waiters []*waiter, sent, decided int64) {
	w := g.w
	now := g.clock()
	if w.mutant == deadlineFromReply {
		sent = now
	}
	if a.late(sent, now) {
		fail(waiters, ErrStoreUnavailable)
		waiters = nil
	}
	current := e.purse.hash == p.hash
	inHand := v.extra
	if current {
		inHand += e.purse.inHand(now)
	}
	used := serve(p, a, v, waiters, inHand)
	for _, wt := range waiters {
		if !wt.gone && wt.d.Allowed {
			at := w.now
			if a.hold == 0 {
				// Decided request by request: the store's decision is the instant.
				at = decided
			}
			w.admissions[e.key] = append(w.admissions[e.key], admission{at, wt.cost})
		}
	}
	if !current {
		if n := v.granted + v.extra - used; n > 0 {
			g.giveBack(e.key, []lot{{n: n, p: p, at: v.now, hold: a.hold, inc: inc}})
		}
		return
	}
	g.giveBack(e.key, e.purse.answer(p, a, v, inc, sent, now, used))
	for i := range e.purse.lots {
		if w.mutant == spendAfterDeadline && e.purse.lots[i].n > 0 {
			e.purse.lots[i].deadline = 1 << 62
		}
	}
	g.scheduleRetire(e)
	kept := e.waiters[:0]
	for _, wt := range e.waiters {
		if wt.gone {
			continue
		}
		if wt.p.hash == e.purse.hash && e.purse.take(now, wt.p, wt.cost, &wt.d) != askStore {
			if wt.d.Allowed {
				w.admit(e.key, wt.cost)
			}
			close(wt.done)
			continue
		}
		kept = append(kept, wt)
	}
	e.waiters = kept
}

// scheduleRetire plays the janitor.
func (g *simGateway) scheduleRetire(e *entry) {
	life := g.life
	for _, l := range e.purse.lots {
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
			lots := e.purse.lots
			back := e.purse.retire(g.clock())
			if g.w.mutant == returnAndKeep && len(back) > 0 {
				e.purse.lots = lots
			}
			g.giveBack(e.key, back)
		})
	}
}

func (g *simGateway) giveBack(key Key, lots []lot) {
	w := g.w
	for _, l := range lots {
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
	g.entries = map[Key]*entry{}
}
