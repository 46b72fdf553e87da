package registry

import (
	"testing"
	"time"
)

// A feed that sends everything at every change costs the way here, but not the
// reading of what has not changed.
func TestOfAWholeFeedOnlyTheRecordsThatChangedAreRead(t *testing.T) {
	for name, w := range map[string]*feedWorld{
		"with a tag":      newFeedWorld(true, false, false)(t).(*feedWorld),
		"without a tag":   newFeedWorld(false, false, false)(t).(*feedWorld),
		"by long polling": newFeedWorld(true, false, true)(t).(*feedWorld),
	} {
		acme, globex := Record{ID: "1", Slug: "acme"}, Record{ID: "2", Slug: "globex"}
		w.put(t, acme)
		r := Open(Options{Source: w.source(t), Interval: 5 * time.Millisecond})
		shows := func(want ...Record) { t.Helper(); eventuallyShows(t, name, r, want...) }
		full := func(want uint64) {
			t.Helper()
			if got := r.Stats().FullLoads; got != want {
				t.Errorf("%s: %d full loads, want %d", name, got, want)
			}
		}
		shows(acme)
		w.put(t, globex, acme)
		shows(acme, globex)
		globex.Hosts = []string{"globex.example"}
		w.put(t, globex, acme)
		shows(acme, globex)
		w.put(t, globex)
		shows(globex)
		full(1)
		before := r.Stats().Loads
		w.put(t, globex) // another tag on the same text
		if err := r.Refresh(within(t)); err != nil || r.Stats().Loads != before {
			t.Errorf("%s: the same text was read again: %v", name, err)
		}
		w.put(t, globex, Record{ID: "2", Slug: "initech"}) // an id that is taken
		eventually(t, "the fault", func() bool { return r.Snapshot().ProblemCount() == 1 })
		full(2)
		w.put(t, acme)
		shows(acme)
		full(3) // because of the fault
		w.put(t, acme, globex)
		shows(acme, globex)
		full(3)
		_ = r.Close()
	}
}

// Deltas and whole texts may come by turns: what was seen of a whole one says
// nothing after a delta.
func TestDeltasAndWholeFeedsByTurns(t *testing.T) {
	s, a := serve(t, HTTPOptions{},
		say(200, `{"cursor": "1", "tenants": [{"slug": "a"}, {"slug": "b"}]}`),
		say(200, `{"cursor": "2", "delta": true, "tenants": [{"slug": "c"}], "removed": ["a"], "total": 2}`),
		say(200, `{"cursor": "3", "tenants": [{"slug": "a"}, {"slug": "b"}]}`),
		say(200, `{"cursor": "4", "tenants": [{"slug": "a"}, {"slug": "b", "plan": "free"}]}`),
		say(200, `{"cursor": "5", "delta": true, "tenants": [{"slug": "c"}], "removed": [], "total": 3}`),
	)
	r := open(t, s, nil)
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		slugs, plan string
		full        uint64
	}{{"a b", "", 1}, {"b c", "", 1}, {"a b", "", 2}, {"a b", "free", 2}, {"a b c", "free", 2}} {
		if i > 0 {
			if err := r.Refresh(within(t)); err != nil {
				t.Fatal(err)
			}
		}
		s := r.Snapshot()
		if slugsOf(s) != want.slugs || string(s.BySlug(slug("b")).Plan) != want.plan || r.Stats().FullLoads != want.full {
			t.Errorf("look %d: %s, plan %q, %d full loads; want %+v", i, slugsOf(s), s.BySlug(slug("b")).Plan, r.Stats().FullLoads, want)
		}
	}
	if len(a.requests) != 5 || a.requests[4].URL.Query().Get("cursor") != "4" {
		t.Errorf("%d requests, the last one for %v", len(a.requests), a.requests[len(a.requests)-1].URL)
	}
}
