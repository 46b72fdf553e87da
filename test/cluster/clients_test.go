package cluster

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// clients send requests of all kinds through all gateways until they are
// stopped, and judge every answer.
type clients struct {
	*platform
	stop context.CancelFunc
	work sync.WaitGroup

	mu       sync.Mutex
	open     []*shop // the shops that requests are for
	intruder []*way  // requests that must never reach a backend
}

// pace bounds how often each client asks: this is about faults under load, not
// about the load.
const pace = 15 * time.Millisecond

// startClients begins to send; n clients share the shops.
func (p *platform) startClients(seed uint64, n int) *clients {
	ctx, cancel := context.WithCancel(context.Background())
	c := &clients{platform: p, stop: cancel, open: p.shops}
	for i, s := range p.shops {
		c.intrude(s, p.shops[(i+1)%len(p.shops)])
	}
	p.t.Cleanup(c.end)
	for i := range n {
		rng := rand.New(rand.NewPCG(seed, uint64(i+1)))
		c.work.Go(func() {
			tick := time.NewTicker(pace)
			defer tick.Stop()
			for ctx.Err() == nil {
				c.request(rng)
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	return c
}

// end stops them; a second time it does nothing.
func (c *clients) end() {
	c.stop()
	c.work.Wait()
}

// intrude adds requests that name two tenants, or carry another's credential.
func (c *clients) intrude(s, other *shop) {
	for _, w := range []*way{
		{name: "the host and another tenant's token", host: s.ways[0].host, header: other.ways[3].header},
		{name: "the host and another tenant's header", host: s.ways[0].host, header: other.ways[1].header},
		{name: "the host of no tenant", host: "nobody-" + s.ways[0].host},
		{name: "the header of no tenant", host: other.ways[1].host, header: http.Header{"X-Tenant-Id": {"nobody-" + s.slug}}},
	} {
		w.slug = nobody
		w.demandAll(refused)
		c.intruder = append(c.intruder, w)
	}
}

// admit lets the clients ask for one more shop.
func (c *clients) admit(s *shop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = append(c.open[:len(c.open):len(c.open)], s)
}

// pick returns two shops, which may be one.
func (c *clients) pick(rng *rand.Rand) (s, other *shop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open[rng.IntN(len(c.open))], c.open[rng.IntN(len(c.open))]
}

// try sends one request, to the next gateway if one does not answer: as a
// client behind a load balancer does.
func (c *clients) try(rng *rand.Rand, w *way, method, path, body string) (a answer) {
	first := rng.IntN(len(c.gateways))
	for i := range c.gateways {
		g := (first + i) % len(c.gateways)
		a = c.ask(g, w, method, path, body)
		c.judge(g, w, method, path, a)
		// Only what may be sent twice.
		if a.err == nil || method != http.MethodGet {
			break
		}
	}
	return a
}

// request does one thing that clients do.
func (c *clients) request(rng *rand.Rand) {
	s, other := c.pick(rng)
	switch n := rng.IntN(100); {
	case n < 40:
		c.list(rng, s)
	case n < 65:
		c.create(rng, s)
	case n < 73:
		c.remove(rng, s)
	case n < 83:
		c.find(rng, s, other)
	case n < 90:
		w := c.intruder[rng.IntN(len(c.intruder))]
		c.try(rng, w, http.MethodGet, "/api/pets", "")
	default:
		c.try(rng, s.way(rng, false), http.MethodGet, seenPath, "")
	}
}

func (c *clients) list(rng *rand.Rand, s *shop) {
	a := c.try(rng, s.way(rng, false), http.MethodGet, "/api/pets?limit=100", "")
	if !a.ok() {
		return
	}
	var list page
	if err := json.Unmarshal([]byte(a.body), &list); err != nil {
		c.fault("a listing of %q: %v\n%.300s", s.slug, err, a.body)
	}
	for _, one := range list.Pets {
		if !s.owns(one.Name) {
			c.fault("a listing of %q has pet %q", s.slug, one.Name)
		}
	}
}

func (c *clients) create(rng *rand.Rand, s *shop) {
	name := s.name()
	a := c.try(rng, s.way(rng, true), http.MethodPost, "/api/pets", `{"name":"`+name+`","species":"cat"}`)
	if !a.ok() {
		return
	}
	var one struct{ ID, Name string }
	if err := json.Unmarshal([]byte(a.body), &one); err != nil || a.status != http.StatusCreated || one.ID == "" || one.Name != name {
		c.fault("creating %q: status %d, %v\n%.300s", name, a.status, err, a.body)
		return
	}
	s.made(name, one.ID)
}

func (c *clients) remove(rng *rand.Rand, s *shop) {
	name, id := s.take(rng)
	if id == "" {
		return
	}
	if c.try(rng, s.way(rng, true), http.MethodDelete, "/api/pets/"+id, "").ok() {
		s.removed(name)
	}
}

// find asks for a pet by its id: of the shop it is there, of another it is not.
// (It may be deleted meanwhile.)
func (c *clients) find(rng *rand.Rand, s, other *shop) {
	id := other.some(rng)
	if id == "" {
		return
	}
	a := c.try(rng, s.way(rng, false), http.MethodGet, "/api/pets/"+id, "")
	var one struct{ Name string }
	if !a.ok() || json.Unmarshal([]byte(a.body), &one) != nil {
		return
	}
	if s != other || !s.owns(one.Name) {
		c.fault("tenant %q was shown pet %q of %q", s.slug, one.Name, other.slug)
	}
}
