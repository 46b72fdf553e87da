package ratelimit

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

func numbered(i int) Key {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(i))
	return Key{Tenant: "acme", Client: netip.AddrFrom4(b)}
}

func TestTheTableForgetsKeysAsTheirWindowsPass(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	m := NewMemory(MemoryOptions{Now: func() time.Time { return now }})
	p := simPolicy(t, "5/1m")
	for i := range 40_000 {
		if i%1000 == 0 {
			now = now.Add(10 * time.Second)
		}
		if _, err := m.Take(t.Context(), numbered(i), p, 1); err != nil {
			t.Fatal(err)
		}
	}
	// 6000 keys are in use at a time.
	if n := m.Len(); n > 12_000 {
		t.Errorf("%d keys are remembered, expected not many more than 6000", n)
	}
}

func TestAFullTableRefusesTooMuchRatherThanTooLittle(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	m := NewMemory(MemoryOptions{Now: func() time.Time { return now }, MaxKeys: shards})
	p := simPolicy(t, "3/1h")
	const keys = 20_000
	admitted := make([]int, keys)
	use := func() {
		for i := range keys {
			d, err := m.Take(t.Context(), numbered(i), p, 1)
			if err != nil {
				t.Fatal(err)
			}
			if d.Allowed {
				admitted[i]++
			}
		}
	}
	for range 5 {
		use()
	}
	if n := m.Len(); n > shards {
		t.Errorf("%d keys are counted one by one, expected at most %d", n, shards)
	}
	// What was used while sharing is not given back when there is room.
	now = now.Add(30 * time.Minute)
	use()
	total := 0
	for i, n := range admitted {
		if n > 3 {
			t.Fatalf("key %d was admitted %d times, expected at most 3", i, n)
		}
		total += n
	}
	if total < 3*shards {
		t.Errorf("%d admitted in all, expected at least the %d of the keys with their own count", total, 3*shards)
	}
}

// The table is held against a map: colliding hashes, removals in the middle of
// a run of slots, and growth.
func TestTheTableFindsWhatAMapFinds(t *testing.T) {
	tab := newTable(1<<20, func(k int) uint64 { return uint64(k%37) << 3 }) // one shard, few homes
	want := map[int]*account{}
	rng := rand.New(rand.NewPCG(3, 4))
	live := int64(1_000_000)
	for step := range int64(20_000) {
		key := rng.IntN(600)
		hash := tab.hash(key)
		s := tab.lock(hash)
		got := s.find(uint32(hash), key)
		if (want[key] != nil) != (got != nil) || got != nil && got != want[key] {
			t.Fatalf("step %d: key %d is %p, expected %p", step, key, got, want[key])
		}
		switch {
		case got == nil:
			a := tab.account(s, hash, key, 0)
			// Not empty until it is made so below.
			a.windows = []window{{id: concurrentID, sum: 1}}
			a.seen = live
			want[key] = a
		case rng.IntN(2) == 0:
			got.windows = nil
			got.seen = 0
			s.sweep(1, len(s.slots)+1)
			delete(want, key)
		}
		if s.keys != len(want) {
			t.Fatalf("step %d: %d keys, expected %d", step, s.keys, len(want))
		}
		s.mu.Unlock()
	}
}
