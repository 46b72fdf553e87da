package redis

// begin makes the call for whoever waits at e now, or for permits in advance, as a
// part of batch seq. It returns nil when there is nothing to ask for any more.
func (r *Limiter) begin(e *entry, seq int64) *call {
	s := r.entries.shard(e.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := r.now()
	c := e.call(now, r.termsOf)
	if c == nil {
		e.calling = false
		s.settle(e, now, r.termsOf(e.cache.policy).hold)
		return nil
	}
	if c.p.HasSlots() {
		c.slots = r.claim(e.key, c.p, seq)
	}
	return c
}

// complete hands the store's answer to a call to those who wait for it.
func (r *Limiter) complete(c *call, cmd once) {
	raw, err := cmd.Result()
	if err == nil {
		c.inc, err = parseAcquire(c.p, raw, &c.verdict)
	}
	e := c.entry
	s := r.entries.shard(e.key)
	s.mu.Lock()
	c.received = r.now()
	var back []lease
	if err != nil {
		r.slots.finish(c.slots.sets, err)
		fail(c.waiters, err)
	} else {
		if c.p.HasSlots() {
			r.grant(c)
		}
		back = e.answer(c)
		e.serveQueue(c.received)
	}
	e.calling = false
	if len(e.waiters) > 0 {
		r.schedule(e)
	} else {
		s.settle(e, c.received, r.termsOf(e.cache.policy).hold)
	}
	s.mu.Unlock()
	r.giveBack(e.key, back)
	if err == nil && c.ask.Hold > 0 {
		r.tidyLater()
	}
}
