package ratelimit

import (
	"hash/maphash"
	"sync"
)

// shards bounds how much requests of different keys wait for one another.
const shards = 256

// sweepStep is how many entries an insert looks at for ones to forget. Looking
// at more than one per insert keeps the forgotten share of the table small
// without any background work.
const sweepStep = 3

// shard is one part of a table: a lock and the entries under it.
type shard[K comparable] struct {
	mu      sync.Mutex
	entries map[K]*account

	// overflow is where new keys are counted together while the table is
	// full: that refuses too much, never too little.
	overflow []*account
	_        [24]byte // keeps neighbouring locks out of one cache line
}

// overflowBuckets is per shard.
const overflowBuckets = 16

// table maps keys to accounts, with a bound on their number and without a
// goroutine: an insert forgets a few entries that have become empty.
type table[K comparable] struct {
	seed   maphash.Seed
	perMax int // entries per shard
	shards [shards]shard[K]
}

func newTable[K comparable](maxKeys int) *table[K] {
	t := &table[K]{seed: maphash.MakeSeed(), perMax: max(1, maxKeys/shards)}
	return t
}

// account returns the account of key in s, whose lock the caller holds.
func (t *table[K]) account(s *shard[K], key K, now int64) *account {
	if a := s.entries[key]; a != nil {
		return a
	}
	return t.insert(s, key, now)
}

func (t *table[K]) insert(s *shard[K], key K, now int64) *account {
	if s.entries == nil {
		s.entries = make(map[K]*account)
	}
	s.sweep(now, sweepStep)
	bucket := int(maphash.Comparable(t.seed, key) % overflowBuckets)
	if len(s.entries) >= t.perMax {
		s.sweep(now, 16*sweepStep)
	}
	if s.overflow != nil {
		// What a key consumed while it shared a bucket must not be given back
		// when there is room again.
		if a := s.overflow[bucket]; a != nil && !a.empty(now) {
			return a
		}
	}
	if len(s.entries) >= t.perMax {
		if s.overflow == nil {
			s.overflow = make([]*account, overflowBuckets)
		}
		if s.overflow[bucket] == nil {
			s.overflow[bucket] = new(account)
		}
		return s.overflow[bucket]
	}
	a := new(account)
	s.entries[key] = a
	return a
}

// sweep forgets empty entries among the next few. Go's map iteration starts
// at a random place, which is what makes a few per insert enough.
func (s *shard[K]) sweep(now int64, n int) {
	for key, a := range s.entries {
		if a.empty(now) {
			delete(s.entries, key)
		}
		if n--; n <= 0 {
			return
		}
	}
}

// len returns the number of entries, shared buckets not included.
func (t *table[K]) len() int {
	n := 0
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += len(s.entries)
		s.mu.Unlock()
	}
	return n
}
