package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// quota is a tenant whose plan is used up all the time.
type quota struct {
	*way
	plan   string
	n      int
	denies bool // on_store_failure deny; local_share otherwise
}

// The tenants whose quotas are hammered, and the one by which a gateway is seen
// to have its store.
func (p *platform) createQuotas() (list []*quota, probe *way) {
	for _, q := range []*quota{
		{plan: "few", n: 300, denies: true},
		{plan: "many", n: 3000, denies: true},
		{plan: "part", n: 3000},
	} {
		q.way = p.limited(q.plan, q.denies)
		list = append(list, q)
	}
	return list, p.limited("probe", true)
}

func (p *platform) limited(plan string, denies bool) *way {
	w := p.createTenant("quota-"+plan, plan, "shared").ways[0]
	w.limited, w.denies = true, denies
	w.demandAll(anything)
	return w
}

// most is what docs/ratelimit.md says may be admitted of a quota in one window:
// it once, once more for each time that Redis lost its data, and, where it is
// shared out without Redis, a part for each gateway, counted in its memory:
// for each of its lives.
func (q *quota) most(losses int, gateways []*gateway) int {
	most := q.n * (1 + losses)
	if !q.denies {
		for _, g := range gateways {
			most += g.lives * (q.n / len(gateways))
		}
	}
	return most
}

// hammer asks for the quotas by turns until it is stopped.
func (c *clients) hammer(seed uint64, quotas []*quota) {
	ctx, cancel := context.WithCancel(context.Background())
	stop := c.stop
	c.stop = func() { stop(); cancel() }
	rng := rand.New(rand.NewPCG(seed, 1000))
	c.work.Go(func() {
		tick := time.NewTicker(pace / 3)
		defer tick.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			c.try(rng, quotas[i%len(quotas)].way, http.MethodGet, seenPath, "")
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
}

// exhaust uses a quota up: it asks until every gateway that lives has refused
// many times in a row.
func (p *platform) exhaust(q *quota) {
	p.t.Helper()
	const inARow = 50
	left := make([]atomic.Int64, len(p.gateways))
	deadline := time.Now().Add(time.Minute)
	var wg sync.WaitGroup
	for _, g := range p.living() {
		left[g].Store(inARow)
		for range 4 {
			wg.Go(func() {
				for left[g].Load() > 0 && time.Now().Before(deadline) {
					a := p.ask(g, q.way, http.MethodGet, seenPath, "")
					p.judge(g, q.way, http.MethodGet, seenPath, a)
					if left[g].Add(-1); a.status != http.StatusTooManyRequests {
						left[g].Store(inARow)
					}
				}
			})
		}
	}
	wg.Wait()
	if time.Now().After(deadline) {
		p.t.Fatalf("the quota of %q is not used up within a minute: %d admitted", q.slug, p.witness.admitted(q.slug))
	}
}

// within fails the test if more of a quota was admitted than is documented.
func (p *platform) within(q *quota, losses int, when string) {
	p.t.Helper()
	got, most := p.witness.admitted(q.slug), q.most(losses, p.gateways)
	p.t.Logf("%s: %d requests of plan %q were admitted; the quota is %d, the bound %d", when, got, q.plan, q.n, most)
	if got > most {
		p.t.Errorf("%s: %d requests of plan %q were admitted; want at most %d", when, got, q.plan, most)
	}
}

// awaitLimits waits until gateways count in Redis again.
func (p *platform) awaitLimits(gateways []int, probe *way) {
	p.t.Helper()
	for _, g := range gateways {
		harness.Eventually(p.t, inForce, fmt.Sprintf("%s to count in Redis", p.gateways[g].name), func() bool {
			a := p.ask(g, probe, http.MethodGet, seenPath, "")
			return a.ok() && a.header.Get("RateLimit") != ""
		})
	}
}
