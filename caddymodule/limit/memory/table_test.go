package memory

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
)

func numbered(i int) limit.Key {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(i))
	return limit.Key{Tenant: "acme", Client: netip.AddrFrom4(b)}
}

func policy(t testing.TB, limits string) *limit.Policy {
	t.Helper()
	list, err := limit.Parse(limits)
	if err != nil {
		t.Fatal(err)
	}
	p, err := limit.NewPolicy(list, limit.Deny)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheTableForgetsKeysAsTheirWindowsPass(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	m := New(Options{Now: func() time.Time { return now }})
	p := policy(t, "5/1m")
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
	m := New(Options{Now: func() time.Time { return now }, maxKeys: shards})
	p := policy(t, "3/1h")
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
