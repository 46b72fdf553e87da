package cluster

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

var seedFlag = flag.Uint64("seed", 0, "the schedule of the outages; 0 is another one each time")

// Gateways, Redis and PostgreSQL are killed under load, in an order that the
// seed decides, while tenants are changed. No request may be taken for another
// tenant's, no acknowledged write or change may be lost, and limits stay within
// what docs/ratelimit.md says.
func TestOutagesMixUpNoTenantLoseNoChangeAndKeepTheLimits(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano() % 1e9)
	}
	t.Logf("the schedule again: -seed %d", seed)
	s := newStory(t, seed)
	acts := []struct {
		name string
		play func()
	}{
		{"a gateway is killed", s.gatewayKilled},
		{"Redis is killed and keeps its data", s.redisKilled},
		{"PostgreSQL is killed while tenants are changed", s.postgresKilled},
		{"a gateway starts without PostgreSQL", s.gatewayStartsWithoutPostgres},
		{"a tenant is moved while PostgreSQL is killed", s.movedMeanwhile},
		{"everything is killed", s.everythingKilled},
	}
	for _, i := range s.rng.Perm(len(acts)) {
		s.act(acts[i].name, acts[i].play)
	}
	for _, q := range s.quotas {
		s.exhaust(q)
		s.within(q, 0, "with Redis' data kept")
		// What crashes cost is a small part; and with their parts of it in memory,
		// gateways have admitted it twice.
		least := q.n - q.n/10
		if !q.denies {
			least += q.n - q.n/10
		}
		if got := s.witness.admitted(q.slug); got < least {
			t.Errorf("only %d requests of plan %q were admitted; want at least %d", got, q.plan, least)
		}
	}
	s.act("Redis loses its data", s.redisLosesItsData)
	for _, q := range s.quotas {
		s.exhaust(q)
		s.within(q, 1, "after the loss of Redis' data")
	}
	s.end()
}

// story is a platform under load and what has happened to it.
type story struct {
	*platform
	clients *clients
	quotas  []*quota
	probe   *way

	created  int      // tenants
	attempts []string // slugs of tenants whose creation was not acknowledged at once
}

func newStory(t *testing.T, seed uint64) *story {
	t.Helper()
	start := time.Now()
	s := &story{platform: startPlatform(t, seed)}
	s.quotas, s.probe = s.createQuotas()
	s.agree(s.living())
	t.Logf("everything runs after %v", time.Since(start).Round(time.Millisecond))
	// So that each kind of change can be made from the start.
	changes := []*change{s.setDomain(s.shops[1], true), s.createKey(s.shops[2]), s.setStatus(s.shops[3], "suspended")}
	s.carry(changes...)
	s.force(s.living(), changes...)
	s.clients = s.startClients(seed, 8)
	s.clients.hammer(seed, s.quotas)
	s.pass(200)
	// Without any fault yet, a small quota is used up exactly.
	s.exhaust(s.quotas[0])
	if got := s.witness.admitted(s.quotas[0].slug); got != s.quotas[0].n {
		t.Errorf("%d requests of plan %q were admitted before any outage; want %d", got, s.quotas[0].plan, s.quotas[0].n)
	}
	return s
}

// act plays one and waits until everything is as before.
func (s *story) act(name string, play func()) {
	s.t.Helper()
	start := time.Now()
	s.t.Logf("act: %s", name)
	s.pass(20 + s.rng.IntN(100))
	play()
	s.calm()
	s.t.Logf("  over after %v; %d answers to clients so far", time.Since(start).Round(time.Millisecond), s.passed.Load())
	if s.t.Failed() {
		s.t.FailNow() // what comes after a fault tells nothing new
	}
}

// calm waits until all that is demanded holds at every gateway, for every way
// to ask and for every store, and only then calls the weather fair.
func (s *story) calm() {
	s.t.Helper()
	all := s.living()
	s.agree(all)
	s.awaitLimits(all, s.probe)
	for _, g := range all {
		for _, one := range s.shops {
			for _, w := range one.all() {
				if w.demanded(g) != served {
					continue
				}
				harness.Eventually(s.t, inForce, fmt.Sprintf("%s to serve %s of tenant %q", s.gateways[g].name, w.name, w.slug), func() bool {
					return s.ask(g, w, http.MethodGet, "/api/pets?limit=1", "").ok()
				})
			}
		}
	}
	for g := range s.weather.gateways {
		fair(&s.weather.gateways[g])
	}
	fair(&s.weather.redis)
	fair(&s.weather.postgres)
	fair(&s.weather.stores)
	for _, one := range s.shops {
		fair(&one.moving)
	}
	s.pass(50)
}

// victim is one of the gateways.
func (s *story) victim() int { return s.rng.IntN(len(s.gateways)) }

func (s *story) killGateway(g int) {
	s.t.Logf("  kill %s", s.gateways[g].name)
	foul(&s.weather.gateways[g])
	s.gateways[g].Kill()
}

func (s *story) killRedis() {
	s.t.Log("  kill Redis")
	foul(&s.weather.redis)
	s.redis.Kill()
}

func (s *story) killPostgres() {
	s.t.Log("  kill PostgreSQL")
	foul(&s.weather.postgres)
	s.postgres.Kill()
}

// newTenant has one more tenant set up, and lets clients in.
func (s *story) newTenant() *change {
	slug := fmt.Sprintf("shop-%d", len(s.shops))
	isolation := []string{"shared", "schema", "database"}[s.rng.IntN(3)]
	var one *shop
	return &change{
		name:  fmt.Sprintf("a new tenant %q, %s", slug, isolation),
		begin: func() {},
		send: func() bool {
			one = s.createTenant(slug, "basic", isolation)
			s.shops = append(s.shops, one)
			s.clients.admit(one)
			return true
		},
		force: func(g int) {
			for _, w := range one.all() {
				if w != one.ways[ownDomain] {
					s.await(g, w, served)
				}
			}
		},
	}
}

func (s *story) gatewayKilled() {
	g := s.victim()
	s.killGateway(g)
	changes := append(s.anyChanges(3), s.newTenant())
	s.carry(changes...)
	s.force(s.living(), changes...)
	s.pass(50)
	s.t.Logf("  start %s", s.gateways[g].name)
	s.gateways[g].restart()
	s.awaitGateway(g)
	s.force([]int{g}, changes...)
}

// redisKilled also shows the policies: who is to be denied is, and who has a
// part uses it up at each gateway.
func (s *story) redisKilled() {
	s.killRedis()
	for _, g := range s.living() {
		harness.Eventually(s.t, inForce, s.gateways[g].name+" to deny without Redis", func() bool {
			return s.ask(g, s.probe, http.MethodGet, seenPath, "").status == http.StatusServiceUnavailable
		})
	}
	for _, q := range s.quotas {
		if !q.denies {
			s.exhaust(q)
		}
	}
	changes := append(s.anyChanges(3), s.newTenant())
	s.carry(changes...)
	s.force(s.living(), changes...)
	s.pass(50)
	s.t.Log("  start Redis")
	s.redis.Restart()
}

// redisLosesItsData also kills a gateway: what the others refused before, they
// remember.
func (s *story) redisLosesItsData() {
	g := s.victim()
	s.killRedis()
	s.killGateway(g)
	if err := os.RemoveAll(filepath.Join(s.redis.Dir(), "appendonlydir")); err != nil {
		s.t.Fatal(err)
	}
	s.redis.Restart()
	if n := s.redis.Do("DBSIZE").(int64); n > 50 {
		s.t.Fatalf("Redis came back with %d keys; want next to none", n)
	}
	s.gateways[g].restart()
	s.awaitGateway(g)
}

// postgresKilled kills it at some moment of a run of changes; what was not
// acknowledged then is whole or absent.
func (s *story) postgresKilled() {
	stream := s.startStream(s.rng.Uint64())
	stream.await(s.t, 3+s.rng.IntN(12))
	s.killPostgres()
	changes := s.anyChanges(2)
	for _, c := range changes {
		c.begin()
		s.t.Logf("  change: %s: acknowledged during the outage: %t", c.name, c.send())
	}
	s.pass(50)
	s.t.Log("  start PostgreSQL")
	s.postgres.Restart()
	for _, c := range changes {
		s.acknowledge(c)
	}
	stream.await(s.t, 3)
	stream.end()
	s.force(s.living(), changes...)
	s.agree(s.living())
	stream.check(s)
}

// gatewayStartsWithoutPostgres has a gateway that knows its tenants from the
// storage only: those that were suspended stay so.
func (s *story) gatewayStartsWithoutPostgres() {
	g := s.victim()
	suspended := s.shops[1+s.rng.IntN(len(s.shops)-1)]
	if suspended.status == "active" {
		c := s.setStatus(suspended, "suspended")
		s.carry(c)
		s.force(s.living(), c)
	}
	s.awaitStored()
	s.killGateway(g)
	s.killPostgres()
	s.gateways[g].restart()
	s.awaitGateway(g)
	for _, w := range suspended.all() {
		if a := s.ask(g, w, http.MethodGet, seenPath, ""); a.err != nil || a.saw != "" {
			s.t.Errorf("%s, started without PostgreSQL: %s of the suspended tenant %q: status %d, %v; want a refusal", s.gateways[g].name, w.name, w.slug, a.status, a.err)
		}
	}
	back := s.setStatus(suspended, "active")
	if back.send() {
		s.t.Error("a change was acknowledged without PostgreSQL")
	}
	s.pass(50)
	s.t.Log("  start PostgreSQL")
	s.postgres.Restart()
	s.carry(back)
	s.force(s.living(), back)
}

// awaitStored waits until the storage knows whom gateways refuse: one that
// crashes before, and starts without its source, cannot know.
func (s *story) awaitStored() {
	s.t.Helper()
	for _, one := range s.shops {
		if one.status != "active" {
			harness.Eventually(s.t, inForce, fmt.Sprintf("the storage to have tenant %q as %s", one.slug, one.status), func() bool { return s.stored(one.slug, one.status) })
		}
	}
}

// stored reports whether the gateways' storage has a tenant with that status:
// see the registry's format of a saved snapshot.
func (s *story) stored(slug, status string) bool {
	files, _ := filepath.Glob(filepath.Join(s.dir, "storage/tenancy/*.snapshot"))
	for _, name := range files {
		b, _ := os.ReadFile(name)
		_, record, found := strings.Cut(string(b), fmt.Sprintf("%c%s", len(slug), slug))
		if found && strings.Contains(record[:min(len(record), 64)], fmt.Sprintf("%c%s", len(status), status)) {
			return true
		}
	}
	return false
}

// movedMeanwhile kills PostgreSQL at some moment of a move between isolations.
// Pet stores finish or undo what was cut off when they start.
func (s *story) movedMeanwhile() {
	one := s.shops[s.rng.IntN(len(s.shops))]
	to := pickOther(s.rng, []string{"shared", "schema", "database"}, one.isolation)
	s.t.Logf("  move %q from %q to %q", one.slug, one.isolation, to)
	foul(&one.moving)
	move := func(store *store) bool {
		_, ok := s.operateAt(store, http.MethodPost, "/tenants/"+one.slug+"/move", `{"isolation":"`+to+`"}`, nil)
		return ok
	}
	moved := make(chan bool, 1)
	go func() { moved <- move(s.stores[0]) }()
	s.pass(s.rng.IntN(800))
	s.killPostgres()
	s.pass(20)
	s.t.Log("  start PostgreSQL")
	s.postgres.Restart()
	s.t.Logf("  the move was acknowledged: %t", <-moved)
	s.restartStores()
	harness.Eventually(s.t, inForce, "the move to be acknowledged", func() bool { return move(s.stores[1]) })
	one.isolation = to
}

// everythingKilled leaves one gateway, and brings things back in any order.
func (s *story) everythingKilled() {
	s.awaitStored()
	g := s.victim()
	kills := []func(){func() { s.killGateway(g) }, s.killRedis, s.killPostgres}
	for _, i := range s.rng.Perm(len(kills)) {
		kills[i]()
		s.pass(s.rng.IntN(30))
	}
	changes := s.anyChanges(2)
	for _, c := range changes {
		c.begin()
		c.send()
	}
	starts := []func(){
		func() { s.gateways[g].restart(); s.awaitGateway(g) },
		s.redis.Restart,
		s.postgres.Restart,
	}
	for _, i := range s.rng.Perm(len(starts)) {
		starts[i]()
	}
	for _, c := range changes {
		s.acknowledge(c)
	}
	s.force(s.living(), changes...)
}

// end stops the clients and counts what is there.
func (s *story) end() {
	s.t.Helper()
	s.clients.end()
	s.witness.testify(s.t)
	for _, one := range s.shops {
		if one.status != "active" {
			c := s.setStatus(one, "active")
			s.carry(c)
			s.force(s.living(), c)
		}
	}
	total := 0
	for i, one := range s.shops {
		total += s.audit(i%len(s.gateways), one)
	}
	if total < 100 {
		s.t.Errorf("only %d pets were acknowledged: that shows nothing", total)
	}
	s.t.Logf("%d pets of %d tenants are there, %d answers were judged", total, len(s.shops), s.passed.Load())
	s.finishTenants()
}
