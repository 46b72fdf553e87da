package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

func everyField(t *testing.T, w World, s registry.Source) {
	acme, globex, _ := w.sample()
	w.Put(t, acme, globex)
	expect(t, s, acme, globex)
}

func emptyList(t *testing.T, w World, s registry.Source) {
	w.Put(t)
	expect(t, s)
	if !w.SaysEmpty {
		return
	}
	meant, ok := s.(registry.EmptyMeant)
	if !ok || !meant.EmptyIsMeant() {
		t.Errorf("the source (%T) does not say that the empty list is meant", s)
	}
}

func changes(t *testing.T, w World, s registry.Source) {
	acme, globex, initech := w.sample()
	w.Put(t, acme, globex)
	expect(t, s, acme, globex)
	changed := globex
	if w.holds("status") {
		changed.Status = "active"
	}
	w.Put(t, acme, changed)
	expect(t, s, acme, changed)
	w.Put(t, acme, changed, initech)
	expect(t, s, acme, changed, initech)
	w.Put(t, changed)
	expect(t, s, changed)
	if w.holds("hosts") {
		changed.Hosts = []string{"globex.example"}
	}
	w.Put(t, changed)
	expect(t, s, changed)
}

func unchanged(t *testing.T, w World, s registry.Source) {
	acme, _, _ := w.sample()
	w.Put(t, acme)
	expect(t, s, acme)
	for range 3 {
		records, err := s.Load(within(t))
		if err == nil {
			compare(t, records, acme)
		} else if !errors.Is(err, registry.ErrUnchanged) {
			t.Errorf("loading what has not changed: %v", err)
		}
	}
}

// Which tenants a fault costs what is for the registry to say.
func faultyRecord(t *testing.T, w World, s registry.Source) {
	acme, globex, _ := w.sample()
	if !w.holds("status") {
		return
	}
	acme.Status = "odd"
	w.Put(t, acme, globex)
	expect(t, s, acme, globex)
}

func comesLater(t *testing.T, w World, s registry.Source) {
	acme, _, _ := w.sample()
	if w.Remove == nil {
		return
	}
	w.Remove(t)
	refuse(t, s)
	w.Put(t, acme)
	expect(t, s, acme)
}

func wasAway(t *testing.T, w World, s registry.Source) { recovers(t, w, s, w.Remove) }

func wasUnreadable(t *testing.T, w World, s registry.Source) { recovers(t, w, s, w.Spoil) }

func recovers(t *testing.T, w World, s registry.Source, harm func(*testing.T)) {
	t.Helper()
	acme, globex, _ := w.sample()
	if harm == nil {
		return
	}
	w.Put(t, acme)
	expect(t, s, acme)
	harm(t)
	refuse(t, s)
	refuse(t, s)
	w.Put(t, acme)
	expect(t, s, acme)
	w.Put(t, globex)
	expect(t, s, globex)
}

func endedContext(t *testing.T, w World, s registry.Source) {
	acme, globex, _ := w.sample()
	w.Put(t, acme)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// A source may be done before it looks at the context.
	if records, err := s.Load(ctx); err == nil && len(records) != 1 || err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("loading in an ended context: %v, %v", records, err)
	}
	w.Put(t, acme, globex)
	expect(t, s, acme, globex)
}

func forgets(t *testing.T, w World, s registry.Source) {
	acme, _, _ := w.sample()
	forgetful, ok := s.(registry.Forgetful)
	if !ok {
		return
	}
	w.Put(t, acme)
	expect(t, s, acme)
	for range 2 {
		forgetful.Forget()
		records, err := s.Load(within(t))
		if err != nil {
			t.Fatalf("loading after Forget: %v; expected all records", err)
		}
		compare(t, records, acme)
	}
}

func oneName(t *testing.T, w World, s registry.Source) {
	acme, _, _ := w.sample()
	before := s.String()
	other := w.Open(t)
	defer func() { _ = other.Close() }()
	w.Put(t, acme)
	expect(t, s, acme)
	if before == "" || other.String() != before || s.String() != before {
		t.Errorf("the names are %q, %q, %q; expected the same one, that of the place", before, other, s)
	}
}

// expect waits until the source has these records: what tells a change may be as
// coarse as a file's time.
func expect(t *testing.T, s registry.Source, want ...registry.Record) {
	t.Helper()
	var got []registry.Record
	eventually(t, fmt.Sprintf("the records of %d tenants", len(want)), func() bool {
		records, err := s.Load(within(t))
		if err != nil && !errors.Is(err, registry.ErrUnchanged) {
			t.Fatalf("loading: %v", err)
		}
		if err == nil {
			got = records
		}
		return err == nil && describe(got) == describe(want)
	})
}

func compare(t *testing.T, got []registry.Record, want ...registry.Record) {
	t.Helper()
	if g, w := describe(got), describe(want); g != w {
		t.Errorf("got\n%swant\n%s", g, w)
	}
}

// describe writes records down in the order of their slugs, without their places.
func describe(records []registry.Record) string {
	records = slices.Clone(records)
	slices.SortFunc(records, func(a, b registry.Record) int { return strings.Compare(a.Slug, b.Slug) })
	var b strings.Builder
	for _, r := range records {
		hosts := slices.Sorted(slices.Values(r.Hosts))
		fmt.Fprintf(&b, "%q %q %q %q %q %q %q %q %q %q %v %v\n", r.ID, r.Slug, r.Name, r.Plan, r.Status, r.Limits,
			hosts, r.Upstreams, r.Issuer, r.JWKS, r.Created.UTC(), r.Faults)
	}
	return b.String()
}

// refuse expects an error: one that comes by itself if a change does.
func refuse(t *testing.T, s registry.Source) {
	t.Helper()
	eventually(t, "an error", func() bool {
		_, err := s.Load(within(t))
		return err != nil && !errors.Is(err, registry.ErrUnchanged)
	})
}
