package redis

import (
	"math"
	"sync"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
)

// The store knows of every gateway one absolute number: how many requests it has in
// progress of a client or a tenant. The gateway says it with every acquire, and by
// itself when requests end; a number that was lost, or that the store has lost, is
// mended by the next one. Each statement has a sequence, so that one which arrives
// late changes nothing.
const (
	// slotLifetime is how long the store believes a gateway that says nothing
	// more. It says its number again at a third of that.
	slotLifetime = 60 * time.Second

	// slotRetry is how soon a number is said again that may be lost.
	slotRetry = 500 * time.Millisecond
)

// slotBook knows the requests in progress that this gateway has.
type slotBook struct {
	gateway  string
	lifetime time.Duration

	mu   sync.Mutex
	sets map[string]*slotSet // by their keys in the store
}

// slotSet is the requests in progress of one client or tenant. All of its commands
// go through one group, so at most one batch of them is under way.
type slotSet struct {
	key   string
	group *group

	held int64 // requests in progress
	told int64 // what the store believes; unknown: an answer was lost
	busy int   // jobs that are queued or under way

	// The batch under way, what it says, and whether any of it was answered.
	seq, said int64
	answered  bool

	next  time.Time // when to say the number again
	until time.Time // when the store has forgotten what was said of any in progress
}

const unknown = math.MinInt64 / 2

// slotClaim is what an acquire says of the sets it adds to.
type slotClaim struct {
	sets []*slotSet
	seq  int64
	said [2]int64
}

// claim opens the sets of an acquire that goes out with batch seq.
func (r *Limiter) claim(key limit.Key, p *limit.Policy, seq int64) slotClaim {
	c := slotClaim{seq: seq}
	b := &r.slots
	b.mu.Lock()
	defer b.mu.Unlock()
	until := time.Now().Add(b.lifetime)
	for i, name := range slotKeys(tenantTag(r.opts.Namespace, key.Tenant), key, p) {
		s := b.sets[name]
		if s == nil {
			s = &slotSet{key: name, group: r.groupOf(key)}
			b.sets[name] = s
		}
		s.busy++
		s.until = until
		c.sets, c.said[i] = append(c.sets, s), s.say(seq)
	}
	r.tidyLater()
	return c
}

// say returns the number that batch seq says: the same for all of its commands,
// since the store adds what they are granted.
func (s *slotSet) say(seq int64) int64 {
	if s.seq != seq {
		s.seq, s.said, s.answered = seq, s.held, false
	}
	return s.said
}

// grant gives the admitted waiters of an answered acquire their slots. Those of
// waiters that have gone are not held, which the store will be told. The entry's
// shard is locked.
func (r *Limiter) grant(c *call) {
	granted := int(c.verdict.Granted / c.ask.Unit)
	held := int64(0)
	for _, w := range c.waiters[:min(granted, len(c.waiters))] {
		if !w.gone {
			held++
			w.slot = limit.NewSlot(func() { r.slots.release(c.slots.sets) })
		}
	}
	r.slots.mu.Lock()
	defer r.slots.mu.Unlock()
	for _, s := range c.slots.sets {
		s.held += held
		if granted > 0 { // a refusal writes nothing
			s.answer(r.slots.lifetime, true)
			s.told += int64(granted)
		}
		s.done()
	}
}

// answer notes how a statement fared. After a lost one nobody knows what the store
// believes, until the next batch.
func (s *slotSet) answer(lifetime time.Duration, ok bool) {
	if now := time.Now(); !ok {
		s.told, s.next = unknown, now.Add(slotRetry)
	} else if !s.answered {
		s.told, s.next = s.said, now.Add(lifetime/3)
	}
	s.answered = true
}

// done ends a job of s, and says at once what has changed meanwhile.
func (s *slotSet) done() {
	if s.busy--; s.told >= 0 && s.told != s.held {
		s.report()
	}
}

// report queues the number to be said, unless something is queued or under way,
// whose end will see to it.
func (s *slotSet) report() {
	if s.busy == 0 {
		s.busy++
		s.group.push(job{slots: s})
	}
}

func (b *slotBook) release(sets []*slotSet) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range sets {
		if s.held--; s.told >= 0 {
			s.report()
		}
	}
}

// statement returns the arguments of the report on s in batch seq.
func (b *slotBook) statement(s *slotSet, seq int64) []any {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.held > 0 {
		s.until = time.Now().Add(b.lifetime)
	}
	return []any{b.gateway, b.lifetime.Microseconds(), seq, s.say(seq)}
}

// finish notes how commands on sets ended: reports, or an acquire that failed.
func (b *slotBook) finish(sets []*slotSet, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range sets {
		s.answer(b.lifetime, err == nil)
		s.done()
	}
}

// tend says again what is due and forgets what is over, and tells whether there are
// any requests in progress, or any that the store still believes in.
func (b *slotBook) tend(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, s := range b.sets {
		if s.busy == 0 && s.held == 0 && (s.told == 0 || now.After(s.until)) {
			delete(b.sets, key)
		} else if !now.Before(s.next) {
			s.report()
		}
	}
	return len(b.sets) > 0
}
