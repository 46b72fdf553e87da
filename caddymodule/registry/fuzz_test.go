package registry

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// addMistakes begins with the fixtures of that extension.
func addMistakes(f *testing.F, ext string) {
	paths, err := filepath.Glob("testdata/mistakes/*" + ext)
	if err != nil || len(paths) == 0 {
		f.Fatalf("%v, %v", paths, err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// Whatever a file holds, what comes out of it is either an error or tenants that
// keep every promise of their type.
func checkParsed(t *testing.T, parse func([]byte) ([]Record, error), data []byte) {
	t.Helper()
	records, err := parse(data)
	if err != nil {
		if records != nil {
			t.Fatalf("records beside the error %v", err)
		}
		return
	}
	s, c := newParser(nil).build(emptySnapshot(), records, noon)
	if s.Len() != len(c.added) || s.Len()+len(records) > 0 && s.Len()+s.ProblemCount() < len(records) {
		t.Fatalf("%d records became %d tenants and %d problems", len(records), s.Len(), s.ProblemCount())
	}
	hosts := 0
	for got := range s.All() {
		if _, err := tenant.ParseSlug(got.Slug.String()); err != nil || got.ID == "" || got.Status.String() == "none" || s.BySlug(got.Slug) != got {
			t.Fatalf("%+v, %v", got, err)
		}
		for _, h := range got.Hosts {
			hosts++
			if host, err := tenant.NormalizeHost(h); err != nil || host != h || s.ByHost(h) != got {
				t.Fatalf("host %q of %+v: %v", h, got, err)
			}
		}
	}
	if hosts != s.Hosts() {
		t.Fatalf("%d hosts, counted %d", hosts, s.Hosts())
	}
	again, _ := newParser(nil).build(s, records, noon)
	if again != s {
		t.Fatal("the same records made another snapshot")
	}
}

func FuzzJSON(f *testing.F) {
	addMistakes(f, ".json")
	f.Fuzz(func(t *testing.T, data []byte) { checkParsed(t, parseJSON, data) })
}

func FuzzYAML(f *testing.F) {
	addMistakes(f, ".yaml")
	f.Fuzz(func(t *testing.T, data []byte) { checkParsed(t, parseYAML, data) })
}

func FuzzFields(f *testing.F) {
	f.Add("acme", "t-1", "free", "active", "acme.example, [::1]", "2026-01-02")
	f.Add("acme", "", "", "", `["a.example"]`, "1767355200")
	f.Fuzz(func(t *testing.T, slug, id, plan, status, hosts, created string) {
		checkParsed(t, func([]byte) ([]Record, error) {
			r := Record{Row: 1}
			for name, value := range map[string]string{"slug": slug, "id": id, "plan": plan, "status": status, "hosts": hosts, "created_at": created} {
				r.Set(name, value)
			}
			return []Record{r}, nil
		}, nil)
	})
}
