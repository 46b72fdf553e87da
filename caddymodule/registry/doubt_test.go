package registry

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// meant is a script that says whether an empty list is meant.
type meant struct {
	*script
	empty bool
}

func (m *meant) EmptyIsMeant() bool { return m.empty }

func population20(n int) []Record {
	records := make([]Record, n)
	for i := range records {
		records[i] = Record{ID: fmt.Sprint("id", i), Slug: fmt.Sprint("t", i)}
	}
	return records
}

// A list that is more likely wrong than its tenants are counts as a failure, and
// is not saved over the last good one.
func TestAnImplausibleListIsAFailure(t *testing.T) {
	each := func(n int, spoil func(*Record)) func([]Record) []Record {
		return func(records []Record) []Record {
			for i := range n {
				spoil(&records[i])
			}
			return records
		}
	}
	wrongUpstream := func(r *Record) { r.Upstreams = []string{"x"} }
	noSlug := func(r *Record) { r.Slug, r.ID = "A", "" }
	for name, test := range map[string]struct {
		tenants int
		change  func([]Record) []Record
		meant   bool
		fails   bool
	}{
		"nothing any more":                      {3, func([]Record) []Record { return nil }, false, true},
		"nothing any more, and it is said so":   {3, func([]Record) []Record { return nil }, true, false},
		"the last tenant is removed":            {1, func([]Record) []Record { return nil }, false, false},
		"most are removed":                      {40, func(r []Record) []Record { return r[:1] }, false, false},
		"all are suspended":                     {40, each(40, func(r *Record) { r.Status = "suspended" }), false, false},
		"all have an unknown field":             {40, each(40, func(r *Record) { r.Set("region", "eu") }), false, false},
		"all have limits that cannot be read":   {40, each(40, func(r *Record) { r.Set("limits", 7.5) }), false, false},
		"all have a status that nobody knows":   {40, each(40, func(r *Record) { r.Status = "odd" }), false, false},
		"one in twenty has a wrong upstream":    {40, each(2, wrongUpstream), false, false},
		"more have a wrong upstream":            {40, each(3, wrongUpstream), false, true},
		"one of three has a wrong upstream":     {3, each(1, wrongUpstream), false, false},
		"the only one has a wrong upstream":     {1, each(1, wrongUpstream), false, false},
		"all of three have a wrong upstream":    {3, each(3, wrongUpstream), false, true},
		"one in twenty has no slug any more":    {40, each(2, noSlug), false, false},
		"more have no slug any more":            {40, each(3, noSlug), false, true},
		"all have no slug, but are known by id": {40, each(40, func(r *Record) { r.Slug = "A" }), false, false},
		"many new ones have no slug": {40, func(r []Record) []Record {
			return append(r, make([]Record, 40)...)
		}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			source := &meant{newScript(population20(test.tenants)...), test.meant}
			store := &memoryStore{}
			r := open(t, source, nil, store)
			if err := r.WaitFirst(within(t)); err != nil {
				t.Fatal(err)
			}
			before := r.Snapshot()
			source.say(nil, test.change(population20(test.tenants))...)
			err := r.Refresh(within(t))
			if (err != nil) != test.fails {
				t.Fatalf("the refresh: %v, want a failure: %t", err, test.fails)
			}
			if test.fails && (r.Snapshot() != before || !strings.HasPrefix(err.Error(), "reading tenants from script: ") || r.Stats().Failures != 1) {
				t.Errorf("after %v there are %d tenants", err, r.Snapshot().Len())
			}
			if source.say(ErrUnchanged); test.fails && r.Refresh(within(t)) == nil {
				t.Error("a source that has nothing new made the list a good one")
			}
			want := tenantsOf(r.Snapshot())
			if err := r.Close(); !errors.Is(err, errClosing) {
				t.Fatal(err)
			}
			if saved, _, err := decodeSnapshot(store.data, "script"); err != nil || tenantsOf(saved) != want {
				t.Errorf("saved with %v:\n%s\nwant\n%s", err, tenantsOf(saved), want)
			}
		})
	}
}

// What was wrong all the time does not make later removals look like faults.
func TestStandingFaultsDoNotCastDoubtOnRemovals(t *testing.T) {
	records := append(population20(40), make([]Record, 20)...)
	source := newScript(records...)
	r := open(t, source, nil, nil)
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	source.say(nil, records[20:]...)
	if err := r.Refresh(within(t)); err != nil || r.Snapshot().Len() != 20 {
		t.Errorf("%d tenants, %v", r.Snapshot().Len(), err)
	}
	wrong := records[20:]
	wrong[0].Upstreams = []string{"x"}
	source.say(nil, wrong...)
	if err := r.Refresh(within(t)); err != nil || tenant.Check(r.Snapshot().BySlug(slug("t20"))) == nil {
		t.Errorf("a wrong upstream: %v", err)
	}
}

// What holds for a change holds for one that was made while the gateway was away.
func TestARestartBeginsWithWhatWasSaved(t *testing.T) {
	for name, test := range map[string]struct {
		change   func([]Record) []Record
		restored bool
	}{
		"a status that nobody knows": {func(r []Record) []Record { r[0].Status = "odd"; return r }, false},
		"an empty list":              {func([]Record) []Record { return nil }, true},
		"nothing new":                {func(r []Record) []Record { return r }, false},
	} {
		t.Run(name, func(t *testing.T) {
			saved, _ := load(newParser(nil), emptySnapshot(), population20(3)...)
			source := newScript(test.change(population20(3))...)
			r := open(t, source, nil, &memoryStore{data: encodeSnapshot(saved, "script", noon)})
			if err := r.WaitFirst(within(t)); err != nil {
				t.Fatal(err)
			}
			if tenantsOf(r.Snapshot()) != tenantsOf(saved) {
				t.Errorf("got %s\nwant %s", dump(r.Snapshot()), dump(saved))
			}
			events := make(chan Event, 10)
			defer r.Subscribe(func(e Event) { events <- e })()
			if e, ok := (<-events).(Loaded); !ok || e.Restored != test.restored || e.First == test.restored {
				t.Errorf("event %+v", e)
			}
		})
	}
}
