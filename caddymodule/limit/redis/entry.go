package redis

import (
	"hash/maphash"
	"sync"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
)

const (
	shards = 256

	// maxEntries bounds the keys remembered in this process; one that holds
	// permits is remembered beyond it.
	maxEntries = 1_000_000

	// sweepStep is how many entries an insert looks at for some to forget.
	sweepStep = 8
)

// entry is what the gateway keeps for one key: what it holds, and who waits.
// At most one call for a key is in flight; requests that arrive meanwhile
// wait for the next one, which asks for all of them at once.
type entry struct {
	key     limit.Key
	cache   leaseCache
	waiters []*waiter
	calling bool
}

// shard is one part of the table: a lock and what is under it.
type shard struct {
	mu      sync.Mutex
	entries map[limit.Key]*entry
	_       [40]byte // apart from the next one's lock
}

// table holds the entries. A key is in it while it has something to
// remember; a key with a small quota that is not refused has not.
type table struct {
	seed   maphash.Seed
	shards [shards]shard
}

func (t *table) shard(key limit.Key) *shard {
	return &t.shards[maphash.Comparable(t.seed, key)%shards]
}

// entry returns the entry of key, made if it is missing. The caller holds the
// shard's lock.
func (s *shard) entry(key limit.Key, now int64) *entry {
	e := s.entries[key]
	if e == nil {
		if s.entries == nil {
			s.entries = make(map[limit.Key]*entry)
		}
		s.sweep(now, sweepStep)
		e = &entry{key: key}
		s.entries[key] = e
	}
	return e
}

func (s *shard) sweep(now int64, n int) {
	for _, e := range s.entries {
		if e.disposable(now) {
			delete(s.entries, e.key)
		}
		if n--; n <= 0 {
			return
		}
	}
}

func (e *entry) disposable(now int64) bool {
	return !e.calling && len(e.waiters) == 0 && e.cache.idle(now)
}

// settle drops the entry if there is nothing to remember, or no room to.
func (s *shard) settle(e *entry, now, hold int64) {
	if s.entries[e.key] != e || e.calling || len(e.waiters) > 0 {
		return
	}
	full := len(s.entries) > maxEntries/shards && e.cache.inHand(now) == 0
	nothing := e.cache.limits == nil || now >= e.cache.denyUntil && hold == 0
	if full || nothing || e.disposable(now) {
		delete(s.entries, e.key)
	}
}

// call makes the call for whoever waits now, or for permits in advance; nil if
// there is nothing to ask for.
func (e *entry) call(now int64, termsOf func(*limit.Policy) terms) *call {
	c := &call{entry: e, p: e.cache.policy, sent: now, waiters: e.batch(maxBatch)}
	unit := int64(1)
	if len(c.waiters) > 0 {
		c.p, unit = c.waiters[0].p, c.waiters[0].cost
	}
	if c.ask = e.cache.ask(now, termsOf(c.p), unit, len(c.waiters)); c.ask.Want == 0 {
		return nil
	}
	return c
}

// answer hands what a call got to those who waited for it and to the cache, and
// returns what is to be given back.
func (e *entry) answer(c *call) []lease {
	if c.late() {
		fail(c.waiters, errBudget)
		c.waiters = nil
	}
	inHand := c.verdict.Extra
	current := e.cache.fingerprint == c.p.Fingerprint()
	if current {
		inHand += e.cache.inHand(c.received)
	}
	used := serve(c.p, c.ask, &c.verdict, c.waiters, inHand)
	if current {
		return e.cache.answer(c, used)
	}
	if rest := c.rest(used); rest.n > 0 {
		return []lease{rest}
	}
	return nil
}
