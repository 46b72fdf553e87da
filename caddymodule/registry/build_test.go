package registry

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func TestARecordBecomesATenantWithDefaults(t *testing.T) {
	s, _ := load(newParser(nil), emptySnapshot(),
		Record{Slug: "acme"},
		Record{ID: "t-2", Slug: "globex", Name: "Globex Ä", Plan: "premium", Status: "suspended", Limits: "5/1s",
			Hosts: []string{"WWW.Globex.Example.", "globex.example", "www.globex.example"}})
	for name, want := range map[string]tenant.Tenant{
		"acme": {ID: "acme", Slug: slug("acme"), Status: tenant.Active},
		"globex": {ID: "t-2", Slug: slug("globex"), Name: "Globex Ä", Plan: "premium", Status: tenant.Suspended,
			Limits: "5/1s", Hosts: []string{"globex.example", "www.globex.example"}},
	} {
		if got := s.BySlug(slug(name)); got == nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if s.ByHost("www.globex.example") != s.BySlug(slug("globex")) || s.ByHost("acme.example") != nil || s.BySlug(slug("initech")) != nil || s.BySlug(tenant.Slug{}) != nil {
		t.Error("lookups are wrong")
	}
	if s.Len() != 2 || s.Hosts() != 2 || slugsOf(s) != "acme globex" || s.LoadedAt() != noon || s.ProblemCount() != 0 {
		t.Errorf("got %d tenants (%s), %d hosts, %v, %s", s.Len(), slugsOf(s), s.Hosts(), s.LoadedAt(), problemsOf(s))
	}
}

func TestOfTwoClaimsTheOlderRecordKeepsTheName(t *testing.T) {
	at := func(h int) time.Time { return noon.Add(time.Duration(h) * time.Hour) }
	for name, test := range map[string]struct {
		records  []Record
		tenants  string // slug=id of those served
		hosts    string // host=id
		problems string
	}{
		"slug, by time": {
			records:  []Record{{ID: "young", Slug: "acme", Created: at(2)}, {ID: "old", Slug: "acme", Created: at(1)}},
			tenants:  "acme=old",
			problems: `row 1, slug "acme": the slug is taken by the older record in row 2`,
		},
		"slug, by order": {
			records:  []Record{{ID: "first", Slug: "acme"}, {ID: "second", Slug: "acme"}},
			tenants:  "acme=first",
			problems: `row 2, slug "acme": the slug is taken by the older record in row 1`,
		},
		"slug, one without a time": {
			records:  []Record{{ID: "x", Slug: "acme"}, {ID: "dated", Slug: "acme", Created: at(9)}},
			tenants:  "acme=dated",
			problems: `row 1, slug "acme": the slug is taken by the older record in row 2`,
		},
		"id": {
			records:  []Record{{ID: "1", Slug: "acme", Created: at(2)}, {ID: "1", Slug: "globex", Created: at(1)}},
			tenants:  "globex=1",
			problems: `row 1, slug "acme": the id "1" is taken by the older record in row 2, slug "globex"`,
		},
		"id, against a default": {
			records:  []Record{{Slug: "acme"}, {ID: "acme", Slug: "globex"}},
			tenants:  "acme=acme",
			problems: `row 2, slug "globex": the id "acme" is taken by the older record in row 1, slug "acme"`,
		},
		"host": {
			records: []Record{
				{Slug: "acme", Hosts: []string{"a.example", "shared.example"}, Created: at(2)},
				{Slug: "globex", Hosts: []string{"SHARED.example.", "b.example"}, Created: at(1)}},
			tenants:  "acme=acme globex=globex",
			hosts:    "a.example=acme b.example=globex shared.example=globex",
			problems: `row 1, slug "acme": the host "shared.example" is taken by the older record in row 2, slug "globex" (served)`,
		},
		"a loser's host is free": {
			records:  []Record{{ID: "1", Slug: "acme"}, {ID: "2", Slug: "acme", Hosts: []string{"a.example"}}, {Slug: "globex", Hosts: []string{"a.example"}}},
			tenants:  "acme=1 globex=globex",
			hosts:    "a.example=globex",
			problems: `row 2, slug "acme": the slug is taken by the older record in row 1`,
		},
		"issuer": {
			records: []Record{
				{Slug: "acme", Issuer: "https://i.example", JWKS: "https://i.example/a", Created: at(2)},
				{Slug: "globex", Issuer: "https://i.example", JWKS: "https://i.example/b", Created: at(1)}},
			tenants:  "acme=acme! globex=globex",
			problems: `row 1, slug "acme": the issuer "https://i.example" is that of the older record in row 2, slug "globex" (served)`,
		},
		"issuer of one that is closed anyway": {
			records: []Record{
				{Slug: "acme", Issuer: "https://i.example", JWKS: "https://i.example/a", Upstreams: []string{"x"}},
				{Slug: "globex", Issuer: "https://i.example", JWKS: "https://i.example/b"}},
			tenants:  "acme=acme! globex=globex",
			problems: `row 1, slug "acme": reading upstream "x": malformed: expected HOST:PORT, as in 10.20.0.7:8080 (served)`,
		},
		"issuer of one that is gone for good": {
			records: []Record{
				{Slug: "acme", Status: "purged", Issuer: "https://i.example", JWKS: "https://i.example/a"},
				{Slug: "globex", Issuer: "https://i.example", JWKS: "https://i.example/b"}},
			tenants: "acme=acme globex=globex",
		},
		"a faulty record keeps its names": {
			records: []Record{
				{ID: "1", Slug: "acme", Status: "sleepy", Hosts: []string{"a.example"}},
				{ID: "2", Slug: "acme"},
				{ID: "1", Slug: "globex"},
				{Slug: "initech", Hosts: []string{"a.example"}}},
			tenants: "initech=initech",
			problems: `row 1, slug "acme": parsing status "sleepy": malformed: expected provisioning, active, suspended, deactivated or purged
row 2, slug "acme": the slug is taken by the older record in row 1
row 3, slug "globex": the id "1" is taken by the older record in row 1, slug "acme"
row 4, slug "initech": the host "a.example" is taken by the older record in row 1, slug "acme" (served)`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := load(newParser(nil), emptySnapshot(), test.records...)
			var tenants, hosts []string
			for got := range s.All() {
				name := got.Slug.String() + "=" + got.ID
				if got.Fault != "" {
					name += "!"
				}
				tenants = append(tenants, name)
			}
			for _, h := range []string{"a.example", "b.example", "shared.example"} {
				if got := s.ByHost(h); got != nil {
					hosts = append(hosts, h+"="+got.ID)
				}
			}
			if got := strings.Join(tenants, " "); got != test.tenants {
				t.Errorf("tenants %s, want %s", got, test.tenants)
			}
			if got := strings.Join(hosts, " "); got != test.hosts || s.Hosts() != len(hosts) {
				t.Errorf("hosts %s (%d), want %s", got, s.Hosts(), test.hosts)
			}
			if got := problemsOf(s); got != test.problems {
				t.Errorf("problems\n%s\nwant\n%s", got, test.problems)
			}
		})
	}
}

func TestAFurtherCheckCountsAsAFaultAndIsAskedOncePerChange(t *testing.T) {
	asked := 0
	p := newParser(func(t *tenant.Tenant) []Fault {
		if asked++; t.Limits == "absurd" {
			return []Fault{{"limits", errors.New("reading limits \"absurd\": expected less")}}
		}
		return nil
	})
	one, _ := load(p, emptySnapshot(), Record{Slug: "acme"}, Record{Slug: "globex", Limits: "absurd"})
	if got := problemsOf(one); slugsOf(one) != "acme globex" || one.BySlug(slug("globex")).Limits != "" || got != `row 2, slug "globex": reading limits "absurd": expected less (served)` {
		t.Errorf("tenants %s, problems %s", slugsOf(one), got)
	}
	asked = 0
	two, _ := load(p, one, Record{Slug: "acme"}, Record{Slug: "globex", Limits: "5/1s"})
	if asked != 1 || two.BySlug(slug("globex")).Limits != "5/1s" {
		t.Errorf("asked %d times, tenants %s", asked, dump(two))
	}
}

func TestAnUnchangedLoadKeepsTheSnapshotAndAChangeTheOtherTenants(t *testing.T) {
	p := newParser(nil)
	records := func() []Record {
		var r []Record
		for i := range 100 {
			r = append(r, Record{ID: fmt.Sprint(i), Slug: fmt.Sprintf("t%d", i), Plan: "free", Hosts: []string{fmt.Sprintf("h%d.example", i)}})
		}
		return r
	}
	one, c := load(p, emptySnapshot(), records()...)
	if c.added != 100 {
		t.Fatalf("%d added", c.added)
	}
	if same, c := load(p, one, records()...); same != one || c.size() != 0 {
		t.Errorf("an equal load made a new snapshot, change %v", c)
	}
	changed := records()
	changed[7].Plan = "basic"
	changed[8].Hosts = []string{"h9.example", "new.example"}
	changed[9].Hosts = []string{"h8.example"}
	changed[10].Slug = "renamed"
	changed = append(changed[:20], changed[21:]...)
	two, c := load(p, one, changed...)
	if c.added != 1 || c.changed != 3 || c.removed != 2 {
		t.Errorf("change %+v", c)
	}
	for i := range 100 {
		s, h := slug(fmt.Sprintf("t%d", i)), fmt.Sprintf("h%d.example", i)
		switch i {
		case 7:
			if two.BySlug(s).Plan != "basic" || one.BySlug(s).Plan != "free" || two.ByHost(h) != two.BySlug(s) || one.ByHost(h) != one.BySlug(s) {
				t.Error("t7 is wrong")
			}
		case 8, 9:
			if two.ByHost("h8.example") != two.BySlug(slug("t9")) || two.ByHost("h9.example") != two.BySlug(slug("t8")) {
				t.Error("swapped hosts are wrong")
			}
		case 10, 20:
			if two.BySlug(s) != nil || one.BySlug(s) == nil {
				t.Errorf("%s is still there", s)
			}
		default:
			if two.BySlug(s) != one.BySlug(s) || two.ByHost(h) != one.ByHost(h) || two.BySlug(s) == nil {
				t.Errorf("%s has become another one", s)
			}
		}
	}
	if two.ByHost("h20.example") != nil || two.ByHost("h10.example").Slug != slug("renamed") || two.Len() != 99 || two.Hosts() != 100 {
		t.Errorf("%d tenants, %d hosts", two.Len(), two.Hosts())
	}
}

// However it came about, a snapshot holds what its records say, if they can be read.
func TestASnapshotDependsOnItsRecordsOnly(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 2))
		p := newParser(nil)
		prev := emptySnapshot()
		records := make([]Record, 40)
		for range 60 {
			for range rng.IntN(4) { // sometimes nothing
				records[rng.IntN(len(records))] = Record{
					Slug:    fmt.Sprint("t", rng.IntN(60)),
					Status:  []string{"", "active", "suspended"}[rng.IntN(3)],
					Limits:  []string{"", "5/1s"}[rng.IntN(2)],
					Hosts:   []string{fmt.Sprintf("h%d.example", rng.IntN(50)), fmt.Sprintf("h%d.example", rng.IntN(50)), "no host"}[:rng.IntN(4)],
					Created: noon.Add(time.Duration(rng.IntN(3)) * time.Hour),
				}
			}
			next, c := load(p, prev, append([]Record(nil), records...)...)
			fresh, _ := load(newParser(nil), emptySnapshot(), append([]Record(nil), records...)...)
			if dump(next) != dump(fresh) {
				t.Fatalf("seed %d: got\n%s\nwant\n%s", seed, dump(next), dump(fresh))
			}
			if n := prev.Len() + c.added - c.removed; n != next.Len() {
				t.Fatalf("seed %d: %d tenants after %d, change %v", seed, next.Len(), prev.Len(), c)
			}
			prev = next
		}
	}
}

func TestProblemsAreCountedBeyondThoseThatAreKept(t *testing.T) {
	s, _ := load(newParser(nil), emptySnapshot(), make([]Record, 3*MaxProblems)...)
	if len(s.Problems()) != MaxProblems || s.ProblemCount() != 3*MaxProblems || s.Len() != 0 {
		t.Errorf("%d kept of %d", len(s.Problems()), s.ProblemCount())
	}
}
