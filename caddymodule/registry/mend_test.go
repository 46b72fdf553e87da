package registry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// goodRecord has every field.
func goodRecord() Record {
	return Record{
		ID: "t-1", Slug: "acme", Name: "Acme", Plan: "free", Status: "active", Limits: "200/1h", Hosts: []string{"a.example", "b.example"},
		Upstreams: []string{"10.0.0.1:80"}, Issuer: "https://i.example", JWKS: "https://i.example/keys", Created: noon,
	}
}

// checkAll finds the fault that a test's values ask for.
func checkAll(t *tenant.Tenant) (faults []Fault) {
	if t.Limits == "no limits" {
		faults = append(faults, Fault{"limits", errors.New("odd limits")})
	}
	if strings.HasPrefix(t.JWKS, "ftp:") {
		faults = append(faults, Fault{"jwks", errors.New("odd jwks")})
	}
	if slices.Contains(t.Upstreams, "127.0.0.1:80") {
		faults = append(faults, Fault{"upstreams", errors.New("odd upstream")})
	}
	return faults
}

// What is expected of a faulty record.
type outcome int

const (
	asItWas outcome = iota // with a record before: all of it, else skipped
	oldPart                // the part as it was, else without it
	closed                 // served to nobody
	note                   // named only, the part left out
)

// Every field, with every kind of fault: what becomes of a customer who was served
// before, and of one who was not, also if the status changes with it.
func TestAFaultCostsACustomerAsLittleAsCanBe(t *testing.T) {
	set := func(name string, value any) func(*Record) {
		return func(r *Record) { r.Set(name, value) }
	}
	long := strings.Repeat("x", 2000)
	for name, test := range map[string]struct {
		spoil func(*Record)
		want  outcome
		// without is what a tenant has without the part, if it is oldPart or a note.
		without func(*tenant.Tenant)
	}{
		"the record as a whole":    {func(r *Record) { r.Fail("", errors.New("field twice")) }, asItWas, nil},
		"id, a list":               {set("id", []any{"x"}), asItWas, nil},
		"id, empty":                {set("id", ""), asItWas, nil},
		"id, with a blank":         {func(r *Record) { r.ID = "a b" }, asItWas, nil},
		"id, too long":             {func(r *Record) { r.ID = long }, asItWas, nil},
		"slug, not one":            {func(r *Record) { r.Slug = "Acme Pets" }, asItWas, nil},
		"slug, missing":            {func(r *Record) { r.Slug = "" }, asItWas, nil},
		"slug, a number":           {func(r *Record) { r.Slug = ""; r.Set("slug", int64(7)) }, asItWas, nil},
		"name, a list":             {func(r *Record) { r.Name = ""; r.Set("name", []any{}) }, oldPart, func(t *tenant.Tenant) { t.Name = "" }},
		"name, too long":           {func(r *Record) { r.Name = long }, oldPart, func(t *tenant.Tenant) { t.Name = "" }},
		"name, not UTF-8":          {func(r *Record) { r.Name = "\xff" }, oldPart, func(t *tenant.Tenant) { t.Name = "" }},
		"plan, not one":            {func(r *Record) { r.Plan = "Gold Plan" }, oldPart, func(t *tenant.Tenant) { t.Plan = UnreadablePlan }},
		"plan, a number":           {func(r *Record) { r.Plan = ""; r.Set("plan", int64(7)) }, oldPart, func(t *tenant.Tenant) { t.Plan = UnreadablePlan }},
		"limits, refused by check": {func(r *Record) { r.Limits = "no limits" }, oldPart, func(t *tenant.Tenant) { t.Limits = "" }},
		"limits, too long":         {func(r *Record) { r.Limits = long }, oldPart, func(t *tenant.Tenant) { t.Limits = "" }},
		"limits, an object":        {func(r *Record) { r.Limits = ""; r.Set("limits", map[string]any{}) }, oldPart, func(t *tenant.Tenant) { t.Limits = "" }},
		"hosts, an object":         {func(r *Record) { r.Hosts = nil; r.Set("hosts", map[string]any{}) }, oldPart, func(t *tenant.Tenant) { t.Hosts = nil }},
		"hosts, one of them":       {func(r *Record) { r.Hosts = append(r.Hosts, "no host") }, note, func(*tenant.Tenant) {}},
		"hosts, a former one":      {func(r *Record) { r.Hosts[0] = "no host" }, note, func(t *tenant.Tenant) { t.Hosts = t.Hosts[1:] }},
		"hosts, too many": {func(r *Record) {
			for i := range maxHosts {
				r.Hosts = append(r.Hosts, fmt.Sprintf("x%d.example", i))
			}
		}, note, func(t *tenant.Tenant) {
			for i := range maxHosts - 2 {
				t.Hosts = append(t.Hosts, fmt.Sprintf("x%d.example", i))
			}
			slices.Sort(t.Hosts)
		}},
		"upstreams, one of them":      {func(r *Record) { r.Upstreams = append(r.Upstreams, "no port") }, closed, func(t *tenant.Tenant) { t.Upstreams = nil }},
		"upstreams, a number":         {func(r *Record) { r.Upstreams = nil; r.Set("upstreams", int64(7)) }, closed, func(t *tenant.Tenant) { t.Upstreams = nil }},
		"upstreams, refused by check": {func(r *Record) { r.Upstreams = []string{"127.0.0.1:80"} }, closed, func(t *tenant.Tenant) { t.Upstreams = []string{"127.0.0.1:80"} }},
		"issuer, without jwks":        {func(r *Record) { r.JWKS = "" }, closed, func(t *tenant.Tenant) { t.Issuer, t.JWKS = "", "" }},
		"issuer, missing":             {func(r *Record) { r.Issuer = "" }, closed, func(t *tenant.Tenant) { t.Issuer, t.JWKS = "", "" }},
		"issuer, with a blank":        {func(r *Record) { r.Issuer = "https://i. example" }, closed, func(t *tenant.Tenant) { t.Issuer, t.JWKS = "", "" }},
		"issuer, a number":            {func(r *Record) { r.Issuer = ""; r.Set("issuer", int64(7)) }, closed, func(t *tenant.Tenant) { t.Issuer, t.JWKS = "", "" }},
		"jwks, refused by check":      {func(r *Record) { r.JWKS = "ftp://i.example" }, closed, func(t *tenant.Tenant) { t.JWKS = "ftp://i.example" }},
		"jwks, a list":                {func(r *Record) { r.JWKS = ""; r.Set("jwks", []any{}) }, closed, func(t *tenant.Tenant) { t.Issuer, t.JWKS = "", "" }},
		"created_at, not a time":      {set("created_at", "soon"), note, func(*tenant.Tenant) {}},
		"an unknown field":            {set("region", "eu"), note, func(*tenant.Tenant) {}},
	} {
		for _, before := range []bool{true, false} {
			for _, status := range []string{"active", "suspended"} {
				t.Run(fmt.Sprintf("%s, served before %t, now %s", name, before, status), func(t *testing.T) {
					p, prev := newParser(checkAll), emptySnapshot()
					others := []Record{{Slug: "globex"}, {Slug: "initech"}}
					if before {
						prev, _ = load(p, prev, append([]Record{goodRecord()}, others...)...)
					}
					r := goodRecord()
					r.Status = status
					test.spoil(&r)
					records := append([]Record{r}, others...)
					got, _ := load(p, prev, records...)

					want := tenantOf(goodRecord())
					want.Status, _ = tenant.ParseStatus(status)
					switch test.want {
					case asItWas:
						if !before {
							want = nil
						}
					case oldPart:
						if !before {
							test.without(want)
						}
					default:
						test.without(want)
					}
					checkOutcome(t, got, want, test.want == closed)
					if again, _ := load(p, got, records...); again != got {
						t.Errorf("the same records again make\n%s", dump(again))
					}
				})
			}
		}
	}
}

func tenantOf(r Record) *tenant.Tenant {
	s, _ := load(newParser(nil), emptySnapshot(), r)
	t := *s.BySlug(slug(r.Slug))
	return &t
}

// checkOutcome compares the one tenant that is in question, and whether its record
// is named.
func checkOutcome(t *testing.T, s *Snapshot, want *tenant.Tenant, closed bool) {
	t.Helper()
	got := s.BySlug(slug("acme"))
	if len(s.Problems()) != 1 || s.Problems()[0].Skipped != (got == nil) || s.Problems()[0].Position != "row 1" {
		t.Errorf("problems\n%s\nwant one of row 1", problemsOf(s))
	}
	if s.BySlug(slug("globex")) == nil || s.BySlug(slug("initech")) == nil {
		t.Error("the fault cost others too")
	}
	if want == nil || got == nil {
		if want != nil || got != nil {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		return
	}
	fault := got.Fault
	bare := *got
	bare.Fault = ""
	if !equal(&bare, want) {
		t.Errorf("got  %+v\nwant %+v", bare, *want)
	}
	err := tenant.Check(got)
	switch {
	case closed && (fault == "" || fault != s.Problems()[0].Err.Error()):
		t.Errorf("closed because of %q, named %s", fault, problemsOf(s))
	case closed && got.Status == tenant.Active && !errors.Is(err, tenant.ErrFaulty):
		t.Errorf("checked: %v, want %v", err, tenant.ErrFaulty)
	case !closed && fault != "":
		t.Errorf("closed because of %q", fault)
	}
}

// A mended record counts as if nothing had been, and a removed one is removed.
func TestAFaultEndsWithTheRecord(t *testing.T) {
	p := newParser(checkAll)
	first, _ := load(p, emptySnapshot(), goodRecord(), Record{Slug: "globex"})
	bad := goodRecord()
	bad.Upstreams = []string{"127.0.0.1:80"}
	second, _ := load(p, first, bad, Record{Slug: "globex"})
	if tenant.Check(second.BySlug(slug("acme"))) == nil {
		t.Fatal("a wrong upstream is served")
	}
	mended := goodRecord()
	mended.Upstreams = []string{"10.0.0.2:80"}
	third, _ := load(p, second, mended, Record{Slug: "globex"})
	if got := third.BySlug(slug("acme")); tenant.Check(got) != nil || got.Upstreams[0] != "10.0.0.2:80" || third.ProblemCount() != 0 {
		t.Errorf("mended: %s", dump(third))
	}
	if fourth, _ := load(p, second, Record{Slug: "globex"}); fourth.BySlug(slug("acme")) != nil || fourth.ProblemCount() != 0 {
		t.Errorf("removed: %s", dump(fourth))
	}
}

// An id that was mistyped as another tenant's takes neither of them down.
func TestAMistypedIDKeepsTheOldOne(t *testing.T) {
	p := newParser(nil)
	prev, _ := load(p, emptySnapshot(), Record{ID: "1", Slug: "acme"}, Record{ID: "2", Slug: "globex"})
	got, _ := load(p, prev, Record{ID: "1", Slug: "acme"}, Record{ID: "1", Slug: "globex", Status: "suspended"})
	globex := got.BySlug(slug("globex"))
	if globex == nil || globex.ID != "2" || globex.Status != tenant.Suspended || got.BySlug(slug("acme")).ID != "1" {
		t.Errorf("got %s", dump(got))
	}
	if want := `row 2, slug "globex": the id "1" is taken by the older record in row 1, slug "acme" (served)`; problemsOf(got) != want {
		t.Errorf("problems %s", problemsOf(got))
	}
}

// A status that cannot be read is not the default one, whatever else can be.
func TestAnUnreadableStatusIsTheOneBefore(t *testing.T) {
	for name, spoil := range map[string]func(*Record){
		"a word that is none":  func(r *Record) { r.Status = "odd" },
		"an empty text":        func(r *Record) { r.Status = ""; r.Set("status", "") },
		"a number":             func(r *Record) { r.Status = ""; r.Set("status", int64(1)) },
		"missing, in a ruin":   func(r *Record) { r.Status = ""; r.Fail("", errors.New("field twice")) },
		"missing, with no id":  func(r *Record) { r.Status = ""; r.ID = "a b" },
		"missing, with a slug": func(r *Record) { r.Status = ""; r.Slug = "A" },
	} {
		for _, before := range []string{"", "active", "suspended"} {
			t.Run(name+", before: "+before, func(t *testing.T) {
				p, prev := newParser(nil), emptySnapshot()
				var want *tenant.Tenant
				if before != "" {
					r := goodRecord()
					r.Status = before
					prev, _ = load(p, prev, r)
					want = prev.BySlug(slug("acme"))
				}
				r := goodRecord()
				spoil(&r)
				got, _ := load(p, prev, r)
				if got.BySlug(slug("acme")) != want || got.ProblemCount() != 1 || got.Problems()[0].Skipped != (want == nil) {
					t.Errorf("got %s\nwant %+v", dump(got), want)
				}
			})
		}
	}
}
