package cluster

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// shop is a tenant, and what the clients know of its pets. No two pets get one
// name: after a write without an answer the next try is another pet.
type shop struct {
	slug, isolation string
	// plan, status and hosts are what the operator last had acknowledged.
	plan, status string
	hosts        []string
	moving       atomic.Uint64
	suspended    atomic.Uint64

	mu   sync.Mutex
	ways []*way // the first one by host, without a user
	keys []*key
	pets map[string]*pet // by name
	kept []string        // names of pets that are to stay
}

// pet is one that a client tried to make.
type pet struct {
	id    string // empty until acknowledged
	fate  fate
	found int // at the end
}

type fate int

const (
	unsure fate = iota // there or not
	there
	gone
)

// key is an API key of the shop.
type key struct {
	id  string
	way *way
}

// newShop knows the ways to a tenant that the catalog has acknowledged. The
// token is an editor's.
func newShop(slug, plan, isolation, token string) *shop {
	s := &shop{slug: slug, plan: plan, isolation: isolation, status: "active", pets: make(map[string]*pet)}
	host, domain := harness.Host(slug), harness.Domain
	bearer, named := http.Header{"Authorization": {"Bearer " + token}}, http.Header{"X-Tenant-Id": {slug}}
	both := http.Header{"Authorization": {"Bearer " + token}, "X-Tenant-Id": {slug}}
	s.ways = []*way{
		{name: "host", host: host},
		{name: "header", host: domain, header: named},
		{name: "host and header", host: host, header: named},
		{name: "host, with a token", host: host, header: bearer, user: clerk},
		{name: "header, with a token", host: domain, header: both, user: clerk},
		{name: "own domain", host: "www." + slug + ".example"},
	}
	for _, w := range s.ways {
		w.slug, w.moving, w.suspended = slug, &s.moving, &s.suspended
	}
	s.ways[ownDomain].demandAll(refused) // it is nobody's yet
	return s
}

const (
	ownDomain = 5 // the index of that way
	clerk     = "clerk"
)

// way picks a way to the shop, for a write one with a user.
func (s *shop) way(rng *rand.Rand, write bool) *way {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		w := s.ways[rng.IntN(len(s.ways))]
		if !write || w.user != "" {
			return w
		}
	}
}

// addKey makes another way to the shop, with an API key that has been created
// and is not yet known to be in force.
func (s *shop) addKey(id, text, name string) *key {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := &key{id: id, way: &way{
		name: "host, with an API key", slug: s.slug, moving: &s.moving, suspended: &s.suspended, host: harness.Host(s.slug),
		header: http.Header{"X-Api-Key": {text}}, user: "key:" + name,
	}}
	s.keys, s.ways = append(s.keys, k), append(s.ways, k.way)
	return k
}

// all are the ways at this moment.
func (s *shop) all() []*way {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ways)
}

// name reserves a pet's name: it tells the tenant.
func (s *shop) name() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := fmt.Sprintf("%s #%d", s.slug, len(s.pets)+1)
	s.pets[name] = &pet{}
	return name
}

// owns reports whether a pet of that name can be the shop's.
func (s *shop) owns(name string) bool {
	slug, _, ok := strings.Cut(name, " #")
	return ok && slug == s.slug
}

func (s *shop) made(name, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pets[name].id, s.pets[name].fate = id, there
	s.kept = append(s.kept, name)
}

// take picks a pet that is there to be deleted; until that is answered nobody
// knows of it.
func (s *shop) take(rng *rand.Rand) (name, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) == 0 {
		return "", ""
	}
	i := rng.IntN(len(s.kept))
	name = s.kept[i]
	s.kept = slices.Delete(s.kept, i, i+1)
	s.pets[name].fate = unsure
	return name, s.pets[name].id
}

func (s *shop) removed(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pets[name].fate = gone
}

// some is the id of any pet that was made, empty if there is none yet.
func (s *shop) some(rng *rand.Rand) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) == 0 {
		return ""
	}
	return s.pets[s.kept[rng.IntN(len(s.kept))]].id
}

// page is a listing as the pet store answers it.
type page struct {
	Pets []struct{ ID, Name string }
	Next string `json:"next_cursor"`
}

// audit reads all pets of the shop through a gateway and compares them with
// what was acknowledged: each pet once, none that was deleted, none of another
// tenant's. It returns how many there are.
func (p *platform) audit(g int, s *shop) (found int) {
	p.t.Helper()
	for cursor := ""; ; {
		a := p.ask(g, s.ways[0], http.MethodGet, "/api/pets?limit=100&cursor="+cursor, "")
		var list page
		if err := json.Unmarshal([]byte(a.body), &list); !a.ok() || err != nil {
			p.t.Fatalf("listing the pets of %q: status %d, %v\n%s", s.slug, a.status, a.err, a.body)
		}
		for _, one := range list.Pets {
			found++
			known := s.pets[one.Name]
			if known == nil {
				p.t.Errorf("tenant %q has a pet %q that none of its clients made", s.slug, one.Name)
				continue
			}
			known.found++
			if known.id != "" && known.id != one.ID {
				p.t.Errorf("tenant %q has a pet %q of id %q; acknowledged was %q", s.slug, one.Name, one.ID, known.id)
			}
		}
		if cursor = list.Next; cursor == "" {
			break
		}
	}
	for name, known := range s.pets {
		switch {
		case known.fate == there && known.found != 1:
			p.t.Errorf("pet %q was acknowledged and is there %d times", name, known.found)
		case known.fate == gone && known.found != 0:
			p.t.Errorf("pet %q was deleted and is there %d times", name, known.found)
		case known.found > 1:
			p.t.Errorf("pet %q is there %d times", name, known.found)
		}
	}
	return found
}
