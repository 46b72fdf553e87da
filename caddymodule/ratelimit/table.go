package ratelimit

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"sync"
)

// shards bounds how much requests of different keys wait for one another.
const shards = 256

// sweepStep is how many slots an insert looks at for keys to forget. Looking
// at more than one key per insert keeps the forgotten share of the table small
// without any background work.
const sweepStep = 8

// table maps keys to accounts, with a bound on their number and without a
// goroutine: an insert forgets a few keys whose accounts have become empty.
//
// It is an open-addressing hash table over records that never move, because
// Go's map with pointers costs half as much memory again per key, and a second
// hash to choose the shard.
type table[K comparable] struct {
	hash   func(K) uint64
	perMax int // keys per shard
	shards [shards]shard[K]
}

// shard is one part of a table: a lock and what is under it.
type shard[K comparable] struct {
	mu     sync.Mutex
	slots  []uint64 // 0, or the low half of the hash and one more than the record's number
	keys   int
	chunks [][]record[K]
	free   []uint32
	cursor uint32 // where the next sweep goes on

	// overflow is where new keys are counted together while the table is
	// full: that refuses too much, never too little.
	overflow []*account
}

type record[K comparable] struct {
	key     K
	account account
}

const (
	chunkRecords    = 32
	firstSlots      = 16
	overflowBuckets = 16 // per shard
)

func newTable[K comparable](maxKeys int, hash func(K) uint64) *table[K] {
	return &table[K]{hash: hash, perMax: max(1, maxKeys/shards)}
}

// lock returns the shard for a hash, locked.
func (t *table[K]) lock(hash uint64) *shard[K] {
	s := &t.shards[hash>>56]
	s.mu.Lock()
	return s
}

func (s *shard[K]) record(n uint32) *record[K] {
	return &s.chunks[n/chunkRecords][n%chunkRecords]
}

// account returns the account of key in s, which the caller has locked.
func (t *table[K]) account(s *shard[K], hash uint64, key K, now int64) *account {
	if a := s.find(uint32(hash), key); a != nil {
		return a
	}
	return t.insert(s, hash, key, now)
}

func (s *shard[K]) find(hash uint32, key K) *account {
	if len(s.slots) == 0 {
		return nil
	}
	mask := uint32(len(s.slots) - 1)
	for i := hash & mask; s.slots[i] != 0; i = (i + 1) & mask {
		if s.slots[i]>>32 == uint64(hash) {
			if r := s.record(uint32(s.slots[i]) - 1); r.key == key {
				return &r.account
			}
		}
	}
	return nil
}

func (t *table[K]) insert(s *shard[K], hash uint64, key K, now int64) *account {
	s.sweep(now, sweepStep)
	if s.keys >= t.perMax {
		s.sweep(now, 16*sweepStep)
	}
	bucket := (hash >> 32) % overflowBuckets
	if s.overflow != nil {
		// What a key consumed while it shared a bucket must not be given back
		// when there is room again.
		if a := s.overflow[bucket]; a != nil && !a.empty(now) {
			return a
		}
	}
	if s.keys >= t.perMax {
		if s.overflow == nil {
			s.overflow = make([]*account, overflowBuckets)
		}
		if s.overflow[bucket] == nil {
			s.overflow[bucket] = new(account)
		}
		return s.overflow[bucket]
	}
	if 4*s.keys >= 3*len(s.slots) {
		s.grow()
	}
	n := s.take()
	r := s.record(n)
	r.key = key
	s.place(uint64(uint32(hash))<<32 | uint64(n+1))
	s.keys++
	return &r.account
}

// take returns the number of an unused record.
func (s *shard[K]) take() uint32 {
	if last := len(s.free) - 1; last >= 0 {
		n := s.free[last]
		s.free = s.free[:last]
		return n
	}
	first := uint32(len(s.chunks) * chunkRecords)
	s.chunks = append(s.chunks, make([]record[K], chunkRecords))
	for n := first + chunkRecords - 1; n > first; n-- {
		s.free = append(s.free, n)
	}
	return first
}

func (s *shard[K]) place(slot uint64) {
	mask := uint32(len(s.slots) - 1)
	i := uint32(slot>>32) & mask
	for s.slots[i] != 0 {
		i = (i + 1) & mask
	}
	s.slots[i] = slot
}

func (s *shard[K]) grow() {
	old := s.slots
	s.slots = make([]uint64, max(firstSlots, 2*len(old)))
	for _, slot := range old {
		if slot != 0 {
			s.place(slot)
		}
	}
}

// sweep forgets keys with empty accounts among the next few slots.
func (s *shard[K]) sweep(now int64, n int) {
	if len(s.slots) == 0 {
		return
	}
	mask := uint32(len(s.slots) - 1)
	for range n {
		i := s.cursor & mask
		if slot := s.slots[i]; slot != 0 {
			if r := s.record(uint32(slot) - 1); r.account.empty(now) {
				*r = record[K]{}
				s.free = append(s.free, uint32(slot)-1)
				s.keys--
				s.remove(i)
				continue // another key may have moved here
			}
		}
		s.cursor++
	}
}

// remove empties a slot and moves up those behind it that would no longer be
// found.
func (s *shard[K]) remove(hole uint32) {
	mask := uint32(len(s.slots) - 1)
	for i := (hole + 1) & mask; s.slots[i] != 0; i = (i + 1) & mask {
		home := uint32(s.slots[i]>>32) & mask
		if (i-home)&mask >= (i-hole)&mask {
			s.slots[hole] = s.slots[i]
			hole = i
		}
	}
	s.slots[hole] = 0
}

// each calls f for every key of a shard, which the caller has locked.
func (s *shard[K]) each(f func(K, *account)) {
	for _, slot := range s.slots {
		if slot != 0 {
			r := s.record(uint32(slot) - 1)
			f(r.key, &r.account)
		}
	}
}

// len returns the number of keys counted one by one.
func (t *table[K]) len() int {
	n := 0
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += s.keys
		s.mu.Unlock()
	}
	return n
}

// hasher hashes keys with secrets of its own, so that nobody outside can
// choose keys that collide.
type hasher struct {
	seed maphash.Seed
	a, b uint64
}

func newHasher() hasher { return hasher{maphash.MakeSeed(), rand.Uint64(), rand.Uint64()} }

func (h hasher) tenant(tenant string) uint64 { return maphash.String(h.seed, tenant) }

func (h hasher) key(key Key) uint64 {
	addr := key.Client.As16()
	// The full product of two secretly shifted halves is a keyed hash of both.
	hi, lo := bits.Mul64(binary.BigEndian.Uint64(addr[:8])^h.a, binary.BigEndian.Uint64(addr[8:])^h.b)
	return maphash.String(h.seed, key.Tenant) ^ hi ^ bits.RotateLeft64(lo, 32)
}
