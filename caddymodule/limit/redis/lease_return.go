package redis

import "github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"

// lapse drops what is past its deadline: the store lets its charge lapse. It
// must not be returned any more, because by the time that arrives the charge
// may be gone and others' in its place.
func (c *leaseCache) lapse(now int64) {
	for i := range c.leases {
		if now >= c.leases[i].deadline {
			c.leases[i] = lease{}
		}
	}
	if c.leases[0].n == 0 {
		c.leases[0], c.leases[1] = c.leases[1], lease{}
	}
}

// retire hands out the leases that should be returned by now: those near their
// deadline. They are taken out of the cache first, so that a permit cannot be both
// spent and returned.
func (c *leaseCache) retire(now int64) []lease {
	return c.handOut(now, func(l *lease) bool { return now >= l.deadline-l.hold/10 })
}

// empty hands out everything in hand.
func (c *leaseCache) empty(now int64) []lease {
	return c.handOut(now, func(*lease) bool { return true })
}

func (c *leaseCache) handOut(now int64, which func(*lease) bool) []lease {
	c.lapse(now)
	var back []lease
	for i := range c.leases {
		if l := &c.leases[i]; l.n > 0 && which(l) {
			back = append(back, *l)
			*l = lease{}
		}
	}
	c.lapse(now)
	return back
}

// giveBack sends returns for leases that are no longer in any cache. They are
// sent at most once: an answer that is lost leaves them charged.
func (r *Limiter) giveBack(key limit.Key, leases []lease) {
	for _, l := range leases {
		r.groupOf(key).push(job{
			script: returnScript,
			keys:   acquireKeys(r.opts.Namespace, key, l.p)[:counters(l.p)],
			args:   returnArgs(l.p, l.n, l.at, l.hold, l.inc),
		})
	}
}

// returnAll returns what every cache holds that is due, or all of it, and tells
// whether anything was returned and whether anything is left.
func (r *Limiter) returnAll(which func(*leaseCache, int64) []lease) (returned, more bool) {
	now := r.now()
	for i := range r.entries.shards {
		s := &r.entries.shards[i]
		due := make(map[limit.Key][]lease)
		s.mu.Lock()
		for key, e := range s.entries {
			if leases := which(&e.cache, now); len(leases) > 0 {
				due[key] = leases
			}
			if e.cache.leases[0].n > 0 {
				more = true
			} else if e.disposable(now) {
				delete(s.entries, key)
			}
		}
		s.mu.Unlock()
		for key, leases := range due {
			returned = true
			r.giveBack(key, leases)
		}
	}
	return returned, more
}
