package registry

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestATenantsOwnUpstreamsAreReadOrTheRecordIsLeftOut(t *testing.T) {
	records, err := parseJSON([]byte(`{"tenants":[
		{"slug":"acme-pets","upstreams":["10.0.0.1:80","10.0.0.2:80","10.0.0.1:80"]},
		{"slug":"fluffy-friends","upstreams":"Silo.Example:9000, 10.0.0.3:80"},
		{"slug":"pooled"},
		{"slug":"empty","upstreams":""},
		{"slug":"busted","upstreams":"{env.SECRET}.example:80"},
		{"slug":"busted-too","upstreams":7},
		{"slug":"crowded","upstreams":"` + strings.Repeat("a.example:1,", 16) + `a.example:1"}
	]}`))
	if err != nil {
		t.Fatal(err)
	}
	s, _ := newParser(nil).build(emptySnapshot(), records, time.Unix(1, 0))
	for name, want := range map[string][]string{
		"acme-pets": {"10.0.0.1:80", "10.0.0.2:80"}, "fluffy-friends": {"silo.example:9000", "10.0.0.3:80"}, "pooled": nil, "empty": nil,
	} {
		known := s.BySlug(slug(name))
		if known == nil || !slices.Equal(known.Upstreams, want) {
			t.Errorf("%s: %v; want upstreams %q", name, known, want)
		}
	}
	for i, name := range []string{"busted", "busted-too", "crowded"} {
		if s.BySlug(slug(name)) != nil {
			t.Errorf("%s is served without the backend of its own", name)
		}
		problem := s.Problems()[i]
		if want := []string{`{env.SECRET}`, `reading field "upstreams": expected a list`, "at most 16 upstreams"}[i]; problem.Slug != name || !strings.Contains(problem.String(), want) {
			t.Errorf("%s: %s; want %q in it", name, problem, want)
		}
	}

	records[2].Upstreams = []string{"10.0.0.9:80"}
	if next, _ := newParser(nil).build(s, records, time.Unix(2, 0)); next == s {
		t.Error("a change of upstreams is no change")
	}
}
