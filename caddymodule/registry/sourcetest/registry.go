package sourcetest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

// unclosed leaves the closing to the suite, and hides what else the source can do.
type unclosed struct{ registry.Source }

func (unclosed) Close() error { return nil }

// open returns a registry of a new source, which is polled that often.
func (w World) open(t *testing.T, interval time.Duration) *registry.Registry {
	t.Helper()
	r := registry.Open(registry.Options{Source: w.Open(t), Interval: interval})
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// Whatever the source tells of changes, they lead where reading everything leads.
func registryFollows(t *testing.T, w World, _ registry.Source) {
	rng := rand.New(rand.NewPCG(1, 2))
	records := make([]registry.Record, 12)
	for i := range records {
		records[i] = w.reduce(registry.Record{ID: fmt.Sprint("id", i), Slug: fmt.Sprint("t", i), Status: "active"})
	}
	w.Put(t, records...)
	r := w.open(t, time.Millisecond)
	for range 12 {
		for range 1 + rng.IntN(3) {
			i := rng.IntN(len(records))
			if len(records) > 6 && rng.IntN(3) == 0 {
				records = append(records[:i], records[i+1:]...)
				continue
			}
			records[i] = w.reduce(registry.Record{
				ID: records[i].ID, Slug: records[i].Slug, Plan: []string{"free", "basic"}[rng.IntN(2)],
				Status: []string{"active", "suspended"}[rng.IntN(2)], Hosts: []string{fmt.Sprint(records[i].Slug, "-", rng.IntN(2), ".example")},
			})
		}
		w.Put(t, records...)
		want := readAnew(t, w)
		eventually(t, "what was written last", func() bool { return dump(r.Snapshot()) == want })
	}
}

// readAnew is what somebody has who reads everything.
func readAnew(t *testing.T, w World) string {
	t.Helper()
	r := registry.Open(registry.Options{Source: w.Open(t), Interval: time.Hour})
	defer func() { _ = r.Close() }()
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	return dump(r.Snapshot())
}

func dump(s *registry.Snapshot) string {
	var b strings.Builder
	for t := range s.All() {
		fmt.Fprintf(&b, "%+v\n", *t)
	}
	return b.String()
}

func registryKeeps(t *testing.T, w World, s registry.Source) {
	acme, globex, _ := w.sample()
	w.Put(t, acme)
	r := registry.Open(registry.Options{Source: unclosed{s}, Interval: time.Millisecond})
	defer func() { _ = r.Close() }()
	shows := func(want string) {
		t.Helper()
		eventually(t, want, func() bool { return slugs(r.Snapshot()) == want })
	}
	shows("acme")
	for _, harm := range []func(*testing.T){w.Remove, w.Spoil} {
		if harm == nil {
			continue
		}
		before := r.Stats().Failures
		harm(t)
		eventually(t, "a failure", func() bool { return r.Stats().Failures > before })
		shows("acme")
		w.Put(t, acme, globex)
		shows("acme globex")
		w.Put(t, acme)
		shows("acme")
	}
}

func refreshReads(t *testing.T, w World, _ registry.Source) {
	acme, globex, _ := w.sample()
	w.Put(t, acme)
	r := w.open(t, time.Hour)
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	for _, records := range [][]registry.Record{{acme, globex}, {globex}, {acme}} {
		w.Put(t, records...)
		want := readAnew(t, w)
		if err := r.Refresh(within(t)); err != nil {
			t.Fatal(err)
		}
		if got := dump(r.Snapshot()); got != want {
			t.Errorf("after a refresh there is\n%swant\n%s", got, want)
		}
	}
}

func notifies(t *testing.T, w World, s registry.Source) {
	if _, ok := s.(registry.Notifier); !ok {
		return
	}
	acme, globex, _ := w.sample()
	w.Put(t, acme)
	r := w.open(t, time.Hour) // nothing but the notification
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	// The source may begin to listen later than it reads: written until it is heard.
	lists := [][]registry.Record{{acme, globex}, {acme}}
	for i := range 4 {
		records := lists[i%2]
		want := []string{"acme globex", "acme"}[i%2]
		deadline := time.Now().Add(patience)
		for slugs(r.Snapshot()) != want {
			if time.Now().After(deadline) {
				t.Fatalf("no notification of a change to %q", want)
			}
			w.Put(t, records...)
			time.Sleep(20 * time.Millisecond) // between two attempts
		}
	}
}
