package cluster

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// inForce is how long a change may take until a gateway acts on it. It is
// generous: that it comes at all is what is tested here.
const inForce = 60 * time.Second

// change is one change to a tenant through the admin interface.
type change struct {
	name string
	// begin says that from now on either may be seen.
	begin func()
	// send asks for it once and reports whether it was acknowledged.
	send func() bool
	// force waits until it is in force at a gateway, and demands it there from
	// then on.
	force func(g int)
}

// createTenant has a tenant set up and returns it when that is acknowledged.
func (p *platform) createTenant(slug, plan, isolation string) *shop {
	p.t.Helper()
	body := fmt.Sprintf(`{"slug":%q,"plan":%q,"isolation":%q,"sample_pet":false}`, slug, plan, isolation)
	status, ok := p.operate(http.MethodPost, "/tenants", body, nil)
	if !ok {
		p.t.Fatalf("creating tenant %q: status %d", slug, status)
	}
	return newShop(slug, plan, isolation, p.mint(slug))
}

// mint makes a token of an editor of the tenant.
func (p *platform) mint(slug string) string {
	p.t.Helper()
	_, petstore := harness.Binaries(p.t)
	out, err := exec.Command(petstore, "token", "--data", filepath.Join(p.dir, "data"), "--tenant", slug, "--user", clerk).Output()
	if err != nil {
		p.t.Fatalf("making a token: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// createShops makes the tenants that are there from the start: on each of the
// plans and in each isolation.
func (p *platform) createShops() {
	p.t.Helper()
	plans, isolations := []string{"free", "basic", "premium", "enterprise"}, []string{"shared", "schema", "database"}
	for i := range 6 {
		s := p.createTenant(fmt.Sprintf("shop-%d", i), plans[i%len(plans)], isolations[i%len(isolations)])
		for _, w := range s.ways {
			if w.demanded(0) != refused {
				w.demandAll(served)
			}
		}
		p.shops = append(p.shops, s)
	}
}

// await waits until a gateway does with a way what is demanded.
func (p *platform) await(g int, w *way, d demand) {
	p.t.Helper()
	if w.demanded(g) == d {
		return
	}
	p.eventually(fmt.Sprintf("%s to act on a change: %s of tenant %q", p.gateways[g].name, w.name, w.slug), func() (bool, string) {
		a := p.ask(g, w, http.MethodGet, seenPath, "")
		done := a.err == nil && (a.saw != "") == (d == served) && a.status != http.StatusServiceUnavailable
		return done, fmt.Sprintf("it answers %d, %v, and the backend saw %q", a.status, a.err, a.saw)
	})
	w.demand(g, d)
}

// patch changes a tenant's record.
func (p *platform) patch(s *shop, body string) bool {
	_, ok := p.operate(http.MethodPatch, "/tenants/"+s.slug, body, nil)
	return ok
}

func (p *platform) setPlan(s *shop, plan string) *change {
	return &change{
		name:  fmt.Sprintf("plan of %q from %q to %q", s.slug, s.plan, plan),
		begin: func() { s.plan = plan },
		send:  func() bool { return p.patch(s, `{"plan":"`+plan+`"}`) },
		force: func(g int) {
			p.t.Helper()
			harness.Eventually(p.t, inForce, fmt.Sprintf("%s to tell backends that %q is on plan %q", p.gateways[g].name, s.slug, plan), func() bool {
				a := p.ask(g, s.ways[0], http.MethodGet, seenPath, "")
				return a.plan == plan || a.err == nil && a.saw == "" && s.status != "active"
			})
		},
	}
}

// setStatus suspends a tenant or makes it active again, with all that leads to
// it.
func (p *platform) setStatus(s *shop, status string) *change {
	wanted := make(map[*way]demand)
	for _, w := range s.all() {
		switch {
		case status != "active", w == s.ways[ownDomain] && len(s.hosts) == 0, s.revoked(w):
			wanted[w] = refused
		default:
			wanted[w] = served
		}
	}
	return &change{
		name: fmt.Sprintf("%q to be %s", s.slug, status),
		begin: func() {
			s.status = status
			if status == "active" {
				fair(&s.suspended)
			} else {
				foul(&s.suspended)
			}
			for w := range wanted {
				w.demandAll(anything)
			}
		},
		send: func() bool { return p.patch(s, `{"status":"`+status+`"}`) },
		force: func(g int) {
			p.t.Helper()
			for _, w := range s.all() {
				p.await(g, w, wanted[w])
			}
		},
	}
}

// revoked reports whether the way is by a key that is no longer good.
func (s *shop) revoked(w *way) bool {
	return strings.HasPrefix(w.user, "key:") && !slices.ContainsFunc(s.keys, func(k *key) bool { return k.way == w })
}

// setDomain gives a tenant a domain of its own or takes it away.
func (p *platform) setDomain(s *shop, on bool) *change {
	w, hosts, wanted := s.ways[ownDomain], []string(nil), refused
	if on {
		hosts, wanted = []string{w.host}, served
	}
	if s.status != "active" {
		wanted = refused
	}
	text, _ := json.Marshal(append([]string{}, hosts...))
	return &change{
		name:  fmt.Sprintf("domains of %q: %s", s.slug, text),
		begin: func() { s.hosts = hosts; w.demandAll(anything) },
		send:  func() bool { return p.patch(s, `{"hosts":`+string(text)+`}`) },
		force: func(g int) { p.t.Helper(); p.await(g, w, wanted) },
	}
}

// createKey gives a tenant an API key. What was not acknowledged may have made
// one that nobody knows.
func (p *platform) createKey(s *shop) *change {
	name, wanted := fmt.Sprintf("key %d", p.rng.IntN(1e6)), served
	if s.status != "active" {
		wanted = refused
	}
	var made *key
	return &change{
		name:  fmt.Sprintf("an API key for %q", s.slug),
		begin: func() {},
		send: func() bool {
			var answer struct{ ID, Key string }
			_, ok := p.operate(http.MethodPost, "/tenants/"+s.slug+"/keys", fmt.Sprintf(`{"name":%q,"roles":["editor"]}`, name), &answer)
			if ok {
				made = s.addKey(answer.ID, answer.Key, name)
			}
			return ok
		},
		force: func(g int) { p.t.Helper(); p.await(g, made.way, wanted) },
	}
}

// revokeKey ends the shop's first API key.
func (p *platform) revokeKey(s *shop) *change {
	k := s.keys[0]
	return &change{
		name:  fmt.Sprintf("the end of an API key of %q", s.slug),
		begin: func() { s.keys = s.keys[1:]; k.way.demandAll(anything) },
		send: func() bool {
			_, ok := p.operate(http.MethodDelete, "/tenants/"+s.slug+"/keys/"+k.id, "", nil)
			return ok
		},
		force: func(g int) { p.t.Helper(); p.await(g, k.way, refused) },
	}
}

// kinds are the changes there are, each with the shops that it can be made to.
// The first shop is never suspended: by it a gateway is seen to serve.
func (p *platform) kinds() []kind {
	plans := []string{"free", "basic", "premium", "enterprise"}
	return []kind{
		{func(*shop) bool { return true }, func(s *shop) *change { return p.setPlan(s, pickOther(p.rng, plans, s.plan)) }},
		{func(s *shop) bool { return s.status == "active" && s != p.shops[0] }, func(s *shop) *change { return p.setStatus(s, "suspended") }},
		{func(s *shop) bool { return s.status != "active" }, func(s *shop) *change { return p.setStatus(s, "active") }},
		{func(s *shop) bool { return len(s.hosts) == 0 }, func(s *shop) *change { return p.setDomain(s, true) }},
		{func(s *shop) bool { return len(s.hosts) > 0 }, func(s *shop) *change { return p.setDomain(s, false) }},
		{func(*shop) bool { return true }, p.createKey},
		{func(s *shop) bool { return len(s.keys) > 0 }, p.revokeKey},
	}
}

type kind struct {
	can  func(*shop) bool
	make func(*shop) *change
}

// anyChanges picks changes to different shops: of each kind one before a second
// of any, as far as the shops' state allows.
func (p *platform) anyChanges(n int) (list []*change) {
	free := slices.Clone(p.shops)
	for len(list) < n {
		i := slices.IndexFunc(p.deck, func(k kind) bool { return slices.ContainsFunc(free, k.can) })
		if i < 0 {
			kinds := p.kinds()
			p.rng.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
			p.deck = append(p.deck, kinds...)
			continue
		}
		able := slices.DeleteFunc(slices.Clone(free), func(s *shop) bool { return !p.deck[i].can(s) })
		s := able[p.rng.IntN(len(able))]
		list = append(list, p.deck[i].make(s))
		free = slices.DeleteFunc(free, func(other *shop) bool { return other == s })
		p.deck = slices.Delete(p.deck, i, i+1)
	}
	return list
}

func pickOther(rng *rand.Rand, list []string, not string) string {
	for {
		if one := list[rng.IntN(len(list))]; one != not {
			return one
		}
	}
}

// carry sends changes until each is acknowledged.
func (p *platform) carry(changes ...*change) {
	p.t.Helper()
	for _, c := range changes {
		p.t.Logf("  change: %s", c.name)
		c.begin()
		p.acknowledge(c)
	}
}

func (p *platform) acknowledge(c *change) {
	p.t.Helper()
	harness.Eventually(p.t, inForce, "an acknowledgement of "+c.name, c.send)
}

// force waits until changes are in force at the gateways.
func (p *platform) force(gateways []int, changes ...*change) {
	p.t.Helper()
	for _, c := range changes {
		for _, g := range gateways {
			c.force(g)
		}
	}
}

// record is what catalog and gateways must agree on.
type record struct {
	Slug, Plan, Status string
	Hosts              []string
}

func records(body string) (map[string]record, bool) {
	var list struct{ Tenants []record }
	if json.Unmarshal([]byte(body), &list) != nil || list.Tenants == nil {
		return nil, false
	}
	all := make(map[string]record)
	for _, r := range list.Tenants {
		slices.Sort(r.Hosts)
		all[r.Slug] = r
	}
	return all, true
}

// catalog is all tenants as a pet store has them.
func (p *platform) catalog() (map[string]record, bool) {
	var body json.RawMessage
	if _, ok := p.operate(http.MethodGet, "/tenants?limit=1000", "", &body); !ok {
		return nil, false
	}
	return records(string(body))
}

// agree waits until gateways have exactly the catalog's tenants.
func (p *platform) agree(gateways []int) {
	p.t.Helper()
	for _, g := range gateways {
		p.eventually(p.gateways[g].name+" to have the catalog's tenants", func() (bool, string) {
			wanted, ok := p.catalog()
			_, body := p.get(p.gateways[g].admin, "/tenancy/tenants")
			got, listed := records(body)
			same := ok && listed && maps.EqualFunc(wanted, got, func(a, b record) bool {
				return a.Plan == b.Plan && a.Status == b.Status && slices.Equal(a.Hosts, b.Hosts)
			})
			return same, fmt.Sprintf("the catalog has %v, the gateway %v", wanted, got)
		})
	}
}
