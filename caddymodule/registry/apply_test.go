package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Step by step or all at once, the same records make the same snapshot.
func TestChangesLeadWhereAFullLoadLeads(t *testing.T) {
	applied := 0
	for seed := range uint64(5) {
		rng := rand.New(rand.NewPCG(seed, 3))
		p := newParser(nil)
		records := map[string]Record{}
		all := func() []Record {
			var list []Record
			for i := range 60 {
				if r, ok := records[fmt.Sprint("t", i)]; ok {
					list = append(list, r)
				}
			}
			return list
		}
		prev, _ := load(p, emptySnapshot(), all()...)
		for range 60 {
			var changes Changes
			changes.Hosts = -1
			for range rng.IntN(5) {
				slug := fmt.Sprint("t", rng.IntN(60))
				if _, ok := records[slug]; ok && rng.IntN(3) == 0 {
					delete(records, slug)
					changes.Removed = append(changes.Removed, slug)
					changes.Records = slices.DeleteFunc(changes.Records, func(r Record) bool { return r.Slug == slug })
					continue
				}
				r := Record{Slug: slug, Plan: []string{"free", "basic"}[rng.IntN(2)]}
				if rng.IntN(8) == 0 {
					r.Hosts = []string{fmt.Sprintf("h%d.example", rng.IntN(50))}
				}
				records[slug] = r
				changes.Records = append(slices.DeleteFunc(changes.Records, func(r Record) bool { return r.Slug == slug }), r)
			}
			changes.Removed = slices.DeleteFunc(changes.Removed, func(slug string) bool { _, ok := records[slug]; return ok })
			changes.Tenants = len(records)
			want, wantChange := load(p, prev, all()...)
			got, c, ok := p.apply(prev, changes, noon)
			if ok {
				applied++
				if dump(got) != dump(want) || len(c.added) != len(wantChange.added) || len(c.changed) != len(wantChange.changed) || len(c.removed) != len(wantChange.removed) {
					t.Fatalf("seed %d: changes %+v led to\n%s(%v)\nwant\n%s(%v)", seed, changes, dump(got), c, dump(want), wantChange)
				}
			} else if want.ProblemCount() == 0 && prev.ProblemCount() == 0 {
				t.Fatalf("seed %d: changes %+v were refused", seed, changes)
			}
			prev = want
		}
	}
	if applied < 100 {
		t.Errorf("only %d changes were applied", applied)
	}
}

func TestChangesThatDoNotAddUpAreRefused(t *testing.T) {
	p := newParser(nil)
	prev, _ := load(p, emptySnapshot(), Record{Slug: "acme", Hosts: []string{"acme.example"}}, Record{Slug: "globex"})
	faulty, _ := load(p, emptySnapshot(), Record{Slug: "acme"}, Record{Slug: "-"})
	for name, test := range map[string]struct {
		prev    *Snapshot
		changes Changes
	}{
		"a fault":                      {prev, Changes{Records: []Record{{Slug: "initech", Status: "odd"}}, Tenants: -1, Hosts: -1}},
		"an invalid slug":              {prev, Changes{Records: []Record{{Slug: "Initech"}}, Tenants: -1, Hosts: -1}},
		"a host that is taken":         {prev, Changes{Records: []Record{{Slug: "globex", Hosts: []string{"acme.example"}}}, Tenants: -1, Hosts: -1}},
		"a slug twice":                 {prev, Changes{Records: []Record{{Slug: "hooli", ID: "1"}, {Slug: "hooli", ID: "2"}}, Tenants: -1, Hosts: -1}},
		"a tenant too many":            {prev, Changes{Tenants: 1, Hosts: -1}},
		"a tenant too few":             {prev, Changes{Tenants: 3, Hosts: -1}},
		"a host too many":              {prev, Changes{Tenants: -1, Hosts: 0}},
		"an id that is taken":          {prev, Changes{Records: []Record{{ID: "acme", Slug: "initech"}}, Tenants: 3, Hosts: 1}},
		"an id that becomes another's": {prev, Changes{Records: []Record{{ID: "acme", Slug: "globex"}}, Tenants: 2, Hosts: 1}},
		"one id twice":                 {prev, Changes{Records: []Record{{ID: "7", Slug: "initech"}, {ID: "7", Slug: "hooli"}}, Tenants: 4, Hosts: 1}},
		"faults that were there":       {faulty, Changes{Records: []Record{{Slug: "globex"}}, Tenants: -1, Hosts: -1}},
		"a renamed tenant's old slug":  {prev, Changes{Records: []Record{{ID: "globex", Slug: "globex2"}}, Tenants: 2, Hosts: -1}},
	} {
		if _, _, ok := p.apply(test.prev, test.changes, noon); ok {
			t.Errorf("%s was applied", name)
		}
	}
	if next, _, ok := p.apply(prev, Changes{Records: []Record{{ID: "globex", Slug: "acme"}, {ID: "acme", Slug: "globex"}}, Tenants: 2, Hosts: 0}, noon); !ok || next.BySlug(slug("acme")).ID != "globex" {
		t.Error("ids cannot be swapped")
	}
	if got, c, ok := p.apply(prev, Changes{Records: []Record{{Slug: "globex"}}, Removed: []string{"-", "nobody"}, Tenants: 2, Hosts: 1}, noon); !ok || got != prev || c.size() != 0 {
		t.Errorf("changes of nothing made %v, %v", c, ok)
	}
}

// steps is a script that also tells changes.
type steps struct {
	*script
	changes []any // Changes or error, in turn; then ErrUnchanged
}

func (s *steps) LoadChanges(context.Context) (Changes, error) {
	if len(s.changes) == 0 {
		return Changes{}, ErrUnchanged
	}
	next := s.changes[0]
	s.changes = s.changes[1:]
	if err, ok := next.(error); ok {
		return Changes{}, err
	}
	return next.(Changes), nil
}

func TestARegistryReadsChangesAndFallsBackToEverything(t *testing.T) {
	source := &steps{script: newScript(Record{Slug: "acme"})}
	now := noon
	r := Open(Options{Source: source, Interval: time.Hour, FullInterval: time.Minute, Now: func() time.Time { return now }})
	defer r.Close()
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	down := errors.New("down")
	for i, step := range []struct {
		changes []any
		wait    time.Duration
		slugs   string
		full    uint64
		err     error
	}{
		{nil, 0, "acme", 1, nil},
		{[]any{Changes{Records: []Record{{Slug: "globex"}}, Tenants: 2, Hosts: 0}}, 0, "acme globex", 1, nil},
		{[]any{Changes{Removed: []string{"globex"}, Tenants: -1, Hosts: -1}}, 0, "acme", 1, nil},
		{[]any{down}, 0, "acme", 1, down},
		{[]any{ErrFull}, 0, "acme", 2, nil},
		{[]any{Changes{Tenants: 5}}, 0, "acme", 3, nil},
		{[]any{down}, 2 * time.Minute, "acme", 4, nil}, // time to read all, whatever changed
	} {
		source.changes = step.changes
		now = now.Add(step.wait)
		if err := r.Refresh(within(t)); !errors.Is(err, step.err) {
			t.Errorf("step %d: %v", i, err)
		}
		if got := slugsOf(r.Snapshot()); got != step.slugs || r.Stats().FullLoads != step.full {
			t.Errorf("step %d: tenants %s after %d full loads, want %s after %d", i, got, r.Stats().FullLoads, step.slugs, step.full)
		}
	}
}
