package memory_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/limitertest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/memory"
)

func snapshotOf(t testing.TB, m *memory.Limiter) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := m.Snapshot(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func left(t testing.TB, m *memory.Limiter, key limit.Key, p *limit.Policy) int64 {
	t.Helper()
	d, err := m.Take(t.Context(), key, p, 1)
	if err != nil {
		t.Fatal(err)
	}
	if !d.Allowed {
		return -1
	}
	return d.States[0].Remaining
}

func TestARestartGivesNobodyAFreshQuota(t *testing.T) {
	clock := newFakeClock()
	before := memory.New(memory.Options{Now: clock.Now})
	p := limitertest.Policy(t, "10/1h tenant:1000/1h 8/month@15 5/concurrent")
	for i := range 100 {
		key := limitertest.Client(fmt.Sprintf("tenant %d", i%7), fmt.Sprintf("192.0.2.%d", i))
		left(t, before, key, p)
		left(t, before, key, p)
	}
	left(t, before, limitertest.Client("six", "2001:db8::1"), p)
	left(t, before, limit.Key{Tenant: "none"}, p)
	data := snapshotOf(t, before)

	clock.Advance(10 * time.Minute)
	after := memory.New(memory.Options{Now: clock.Now})
	if err := after.Restore(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		key := limitertest.Client(fmt.Sprintf("tenant %d", i%7), fmt.Sprintf("192.0.2.%d", i))
		if got := left(t, after, key, p); got != 7 {
			t.Fatalf("client %d has %d left after a restart, expected 7", i, got)
		}
	}
	d, err := after.Take(t.Context(), limitertest.Client("six", "2001:db8::1"), p, 6)
	if err != nil || !d.Allowed || d.States[2].Remaining != 1 || d.States[3].Remaining != 4 {
		t.Errorf("IPv6 client: %+v, %v", d.States[:4], err)
	}
	if got := left(t, after, limit.Key{Tenant: "none"}, p); got != 8 {
		t.Errorf("the client without an address has %d left, expected 8", got)
	}

	clock.Advance(61 * time.Minute)
	if got := left(t, after, limitertest.Client("six", "2001:db8::1"), limitertest.Policy(t, "10/1h")); got != 9 {
		t.Errorf("%d left after the hour, expected 9", got)
	}
}

func TestAnUnusableSnapshotChangesNothing(t *testing.T) {
	clock := newFakeClock()
	p := limitertest.Policy(t, "10/1h tenant:20/1h")
	m := memory.New(memory.Options{Now: clock.Now})
	for i := range 20 {
		left(t, m, limitertest.Client("acme", fmt.Sprintf("192.0.2.%d", i)), p)
	}
	good := snapshotOf(t, m)
	bad := map[string][]byte{
		"empty":           nil,
		"something else":  []byte("{\"limits\": []}"),
		"only the magic":  []byte("ratelimit"),
		"another version": append([]byte("ratelimit\x63"), good[10:]...),
		"one byte more":   append(bytes.Clone(good), 0),
	}
	for _, at := range []int{10, 12, len(good) / 2, len(good) - 1} {
		flipped := bytes.Clone(good)
		flipped[at] ^= 4
		bad[fmt.Sprintf("a bit flipped at %d", at)] = flipped
		bad[fmt.Sprintf("cut at %d", at)] = good[:at]
	}
	for what, data := range bad {
		t.Run(what, func(t *testing.T) {
			fresh := memory.New(memory.Options{Now: clock.Now})
			if err := fresh.Restore(bytes.NewReader(data)); !errors.Is(err, limit.ErrSnapshot) {
				t.Errorf("Restore says %v, expected ErrSnapshot", err)
			}
			if fresh.Len() != 0 {
				t.Errorf("%d keys were restored", fresh.Len())
			}
		})
	}
}

func TestRestoreDoesNotUndoWhatHappenedSince(t *testing.T) {
	clock := newFakeClock()
	p := limitertest.Policy(t, "10/1h")
	m := memory.New(memory.Options{Now: clock.Now})
	left(t, m, acme, p)
	data := snapshotOf(t, m)
	left(t, m, acme, p)
	if err := m.Restore(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if got := left(t, m, acme, p); got != 7 {
		t.Errorf("%d left, expected 7", got)
	}
}

func TestASnapshotFromTheFutureDoesNotStopTheClock(t *testing.T) {
	clock := newFakeClock()
	p := limitertest.Policy(t, "10/1h")
	m := memory.New(memory.Options{Now: clock.Now})
	left(t, m, acme, p)
	data := snapshotOf(t, m)
	clock.Advance(-365 * 24 * time.Hour)
	m = memory.New(memory.Options{Now: clock.Now})
	if err := m.Restore(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if got := left(t, m, acme, p); got != 8 {
		t.Errorf("%d left, expected 8", got)
	}
	clock.Advance(61 * time.Minute)
	if got := left(t, m, acme, p); got != 9 {
		t.Errorf("%d left an hour later, expected 9", got)
	}
}

func FuzzRestore(f *testing.F) {
	clock := newFakeClock()
	m := memory.New(memory.Options{Now: clock.Now})
	p := limitertest.Policy(f, "10/1h tenant:20/1m 5/month")
	if _, err := m.Take(f.Context(), acme, p, 3); err != nil {
		f.Fatal(err)
	}
	f.Add(snapshotOf(f, m))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := memory.New(memory.Options{Now: clock.Now})
		if err := m.Restore(bytes.NewReader(memory.Sealed(data))); err != nil && !errors.Is(err, limit.ErrSnapshot) {
			t.Fatal(err)
		}
		left(t, m, acme, p)
	})
}
