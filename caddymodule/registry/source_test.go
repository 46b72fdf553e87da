package registry

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// list has records as "slug plan", in their order.
func list(records []Record) string {
	var items []string
	for i, r := range records {
		if r.Row != i+1 || r.Line != 0 {
			items = append(items, "misnumbered")
		}
		items = append(items, strings.TrimSpace(r.Slug+" "+r.Plan))
	}
	return strings.Join(items, ", ")
}

func TestMergePutsChangesInTheirPlaces(t *testing.T) {
	old := []Record{{Slug: "a", Line: 7}, {Slug: "b"}, {Slug: "c"}, {Slug: "b", Plan: "twin"}}
	for name, test := range map[string]struct {
		changed []Record
		removed []string
		want    string
	}{
		"nothing":                        {nil, nil, "a, b, c, b twin"},
		"a new one":                      {[]Record{{Slug: "d"}}, nil, "a, b, c, b twin, d"},
		"another one":                    {[]Record{{Slug: "c", Plan: "x"}}, nil, "a, b, c x, b twin"},
		"one that was there twice":       {[]Record{{Slug: "b", Plan: "x"}}, nil, "a, b x, c"},
		"one twice":                      {[]Record{{Slug: "d", Plan: "x"}, {Slug: "d", Plan: "y"}}, nil, "a, b, c, b twin, d y"},
		"one that is gone":               {nil, []string{"a", "nobody"}, "b, c, b twin"},
		"one that was there twice, gone": {nil, []string{"b"}, "a, c"},
		"one that is back at once":       {[]Record{{Slug: "a", Plan: "x"}}, []string{"a"}, "a x, b, c, b twin"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := list(Merge(old, test.changed, test.removed)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if old[0].Line != 7 || old[0].Plan != "" || len(old) != 4 {
				t.Errorf("what was merged has changed: %v", old)
			}
		})
	}
}

// Step by step or all at once, the same records come of it.
func TestChangesLeadWhereAFullLoadLeads(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	records := map[string]Record{}
	var merged []Record
	for range 300 {
		changed, removed := map[string]Record{}, []string{}
		for range rng.IntN(5) {
			slug := fmt.Sprint("t", rng.IntN(60))
			if _, ok := records[slug]; ok && rng.IntN(3) == 0 {
				removed = append(removed, slug)
				delete(records, slug)
				delete(changed, slug)
				continue
			}
			records[slug] = Record{Slug: slug, Plan: fmt.Sprint(rng.IntN(3))}
			changed[slug] = records[slug]
		}
		var news, want []Record
		for _, r := range changed {
			news = append(news, r)
		}
		for _, r := range records {
			want = append(want, r)
		}
		merged = Merge(merged, news, removed)
		if got := list(merged); strings.Contains(got, "misnumbered") {
			t.Fatal(got)
		}
		if got, want := sorted(merged), sorted(want); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}

func sorted(records []Record) string {
	var items []string
	for _, r := range records {
		items = append(items, r.Slug+" "+r.Plan)
	}
	slices.Sort(items)
	return strings.Join(items, ", ")
}
