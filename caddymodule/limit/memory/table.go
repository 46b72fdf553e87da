package memory

import (
	"hash/maphash"
	"sync"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

// shards bounds how much requests of different keys wait for one another.
const shards = 256

// sweepStep is how many keys an insert looks at for some to forget. Looking at
// more than one per insert keeps the forgotten share of the table small without
// any background work.
const sweepStep = 8

// overflowBuckets is how many counters a shard has for keys that find no room.
const overflowBuckets = 16

// table maps keys to counters, with a bound on their number and without a
// goroutine: an insert forgets a few keys whose counters have become empty.
type table[K comparable] struct {
	// The seed is the table's own, so that nobody outside can choose keys that
	// share a shard.
	seed   maphash.Seed
	perMax int // keys per shard
	shards [shards]shard[K]
}

// shard is one part of a table: a lock and what is under it.
type shard[K comparable] struct {
	mu       sync.Mutex
	counters map[K]*window.Counter

	// overflow is where new keys are counted together while the shard is full:
	// that refuses too much, never too little.
	overflow []window.Counter
}

func newTable[K comparable](maxKeys int) *table[K] {
	return &table[K]{seed: maphash.MakeSeed(), perMax: max(1, maxKeys/shards)}
}

// lock returns the counter of key, made if it is missing, and its shard, locked.
func (t *table[K]) lock(key K, now int64) (*shard[K], *window.Counter) {
	hash := maphash.Comparable(t.seed, key)
	s := &t.shards[hash%shards]
	s.mu.Lock()
	if c := s.counters[key]; c != nil {
		return s, c
	}
	c := s.insert(key, int(hash/shards%overflowBuckets), t.perMax, now)
	return s, c
}

func (s *shard[K]) insert(key K, bucket, perMax int, now int64) *window.Counter {
	s.sweep(now, sweepStep)
	if len(s.counters) >= perMax {
		s.sweep(now, 16*sweepStep)
	}
	// What a key consumed while it shared a bucket must not be given back
	// when there is room again.
	if len(s.overflow) > 0 && !s.overflow[bucket].Empty(now) {
		return &s.overflow[bucket]
	}
	if len(s.counters) >= perMax {
		if s.overflow == nil {
			s.overflow = make([]window.Counter, overflowBuckets)
		}
		return &s.overflow[bucket]
	}
	if s.counters == nil {
		s.counters = make(map[K]*window.Counter)
	}
	c := new(window.Counter)
	s.counters[key] = c
	return c
}

// sweep forgets keys with empty counters among n of the shard's. A map is walked
// from a random place each time.
func (s *shard[K]) sweep(now int64, n int) {
	for key, c := range s.counters {
		if c.Empty(now) {
			delete(s.counters, key)
		}
		if n--; n <= 0 {
			break
		}
	}
	if len(s.counters) == 0 {
		s.counters = nil // a map never shrinks
	}
}
