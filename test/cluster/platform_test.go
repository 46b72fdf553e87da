package cluster

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redistest"
	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// platform is all that a hoster runs: gateways of one configuration, pet
// stores, Redis and PostgreSQL, each a process that can be killed.
type platform struct {
	t        *testing.T
	rng      *rand.Rand // of the schedule; each client has its own
	dir      string
	postgres *harness.Postgres
	redis    *redistest.Server
	stores   []*store
	gateways []*gateway
	witness  *witness
	client   *http.Client
	token    string // the operator's
	operated atomic.Uint64
	deck     []kind // what is to be changed before anything is again

	weather weather
	faults  atomic.Int64
	passed  atomic.Int64 // answers to clients that were as they must be
	shops   []*shop
}

type store struct {
	*harness.Process
	port int
}

type gateway struct {
	*harness.Process
	name        string
	port, admin int
	// lives counts its starts: each has a memory of its own.
	lives int
}

// The plans that shops change between have room for all clients, each in a
// way of its own; the others are there to be used up.
const platformPlans = `
		plan free 4900/1s
		plan basic 1000000/1h
		plan premium {
			per client 1000000/1h
			per tenant 2000000/1h
			concurrent 1000
		}
		plan enterprise {
			window 1000000/10m
			on_store_failure open
		}
		plan few {
			window 300/1h
			on_store_failure deny
		}
		plan many {
			window 3000/1h
			on_store_failure deny
		}
		plan part 3000/1h
		plan probe {
			window 4900/1s
			on_store_failure deny
		}
`

// startPlatform starts everything; the gateways know all tenants when it
// returns.
func startPlatform(t *testing.T, seed uint64) *platform {
	t.Helper()
	p := &platform{t: t, rng: rand.New(rand.NewPCG(seed, 0)), dir: t.TempDir(), postgres: harness.StartPostgres(t)}
	// What a killed Redis has answered is in its file: "no" leaves only the sync
	// to the system, and the write comes before the answer. ("everysec" puts
	// writes off while a sync takes its time.)
	p.redis = redistest.Start(t, "--appendonly", "yes", "--appendfsync", "no")
	p.postgres.MakeRole()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	p.client = &http.Client{Transport: transport, Timeout: 30 * time.Second}
	for i := range 2 {
		p.startStore(i)
	}
	token, err := os.ReadFile(filepath.Join(p.dir, "data/admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	p.token = strings.TrimSpace(string(token))
	p.witness = startWitness(t, filepath.Join(p.dir, "data/identity.jwks.json"), p.stores[0].port, p.stores[1].port)
	p.createShops()
	p.writeConfig()
	for i := range 3 {
		p.gateways = append(p.gateways, p.newGateway(i))
	}
	for g := range p.gateways {
		p.awaitGateway(g)
	}
	return p
}

func (p *platform) url(role string) string {
	return strings.Replace(p.postgres.URL(), "tenancy@", role+"@", 1)
}

func (p *platform) startStore(i int) {
	p.t.Helper()
	_, petstore := harness.Binaries(p.t)
	port := harness.FreePort(p.t)
	p.stores = append(p.stores, &store{port: port, Process: harness.Start(p.t, harness.Spec{
		Name: fmt.Sprintf("petstore%d", i), Dir: p.dir, Env: []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir,
			"PETSTORE_DATABASE_URL=" + p.url("petapp"), "PETSTORE_OWNER_URL=" + p.postgres.URL(),
		},
		Command: []string{
			petstore, "serve", "--listen", fmt.Sprintf("127.0.0.1:%d", port), "--data", "data",
			"--plans", "free,basic,premium,enterprise,few,many,part,probe", "--log-level", "WARN",
		},
	})})
	p.awaitStore(i)
}

func (p *platform) awaitStore(i int) {
	p.t.Helper()
	harness.Eventually(p.t, harness.StartTimeout, fmt.Sprintf("pet store %d to be ready", i), func() bool {
		if p.stores[i].Ended() {
			p.t.Fatalf("pet store %d has ended", i)
		}
		status, _ := p.get(p.stores[i].port, "/readyz")
		return status == http.StatusOK
	})
}

// writeConfig writes the one configuration of all gateways: they share keys and
// storage.
func (p *platform) writeConfig() {
	p.t.Helper()
	config := fmt.Sprintf(`{
	admin 127.0.0.1:{$ADMIN_PORT}
	persist_config off
	auto_https off
	storage file_system storage
	tenancy {
		source postgres {env.DATABASE_URL}
		redis {env.REDIS_URL} {
			budget 5s
			replicas 3
			lease_from 2000
		}
		%s
		identity_key data/identity.key
		guesses off
	}
}
http://:{$PORT} {
	bind 127.0.0.1
	tenant {
		host %s
		header
	}
	tenant_auth {
		jwks http://127.0.0.1:%d/.well-known/jwks.json
		issuer petstore
		audience petstore-api
		api_keys
		optional
	}
	tenant_rate_limit
	tenant_identity
	reverse_proxy 127.0.0.1:%d 127.0.0.1:%d
}
`, strings.TrimSpace(platformPlans), harness.Domain, p.stores[0].port, p.witness.ports[0], p.witness.ports[1])
	if err := os.WriteFile(filepath.Join(p.dir, "Caddyfile"), []byte(config), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *platform) newGateway(i int) *gateway {
	p.t.Helper()
	caddy, _ := harness.Binaries(p.t)
	g := &gateway{name: fmt.Sprintf("gateway%d", i), port: harness.FreePort(p.t), admin: harness.FreePort(p.t), lives: 1}
	g.Process = harness.Start(p.t, harness.Spec{
		Name: g.name, Dir: p.dir, Env: []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "XDG_CONFIG_HOME=" + p.dir, "XDG_DATA_HOME=" + p.dir,
			fmt.Sprintf("PORT=%d", g.port), fmt.Sprintf("ADMIN_PORT=%d", g.admin),
			"DATABASE_URL=" + p.url("petapp"), "REDIS_URL=" + p.redis.URL(),
		},
		Command: []string{caddy, "run", "--config", "Caddyfile", "--adapter", "caddyfile"},
	})
	return g
}

// restart starts a gateway that was killed; awaitGateway waits for it.
func (g *gateway) restart() {
	g.lives++
	g.Process.Start()
}

// awaitGateway returns when the gateway serves the tenants it knows.
func (p *platform) awaitGateway(g int) {
	p.t.Helper()
	harness.Eventually(p.t, harness.StartTimeout, p.gateways[g].name+" to serve", func() bool {
		if p.gateways[g].Ended() {
			p.t.Fatalf("%s has ended", p.gateways[g].name)
		}
		return p.ask(g, p.shops[0].ways[0], http.MethodGet, seenPath, "").saw == p.shops[0].slug
	})
}

// living are the gateways that run.
func (p *platform) living() (list []int) {
	for g := range p.gateways {
		if !p.gateways[g].Ended() {
			list = append(list, g)
		}
	}
	return list
}

// get asks a loopback port; status 0 is no answer.
func (p *platform) get(port int, path string) (status int, body string) {
	res, err := p.client.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, ""
	}
	return res.StatusCode, string(b)
}

// operate sends a request to the admin interface of a pet store, each time
// another, with the operator's credential. It was acknowledged if it is
// answered with 2xx.
func (p *platform) operate(method, path, body string, into any) (status int, acknowledged bool) {
	return p.operateAt(p.stores[p.operated.Add(1)%uint64(len(p.stores))], method, path, body, into)
}

func (p *platform) operateAt(store *store, method, path, body string, into any) (status int, acknowledged bool) {
	req, err := http.NewRequestWithContext(p.t.Context(), method, fmt.Sprintf("http://127.0.0.1:%d/api/admin%s", store.port, path), strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := p.client.Do(req)
	if err != nil {
		return 0, false
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		return res.StatusCode, false
	}
	if into != nil {
		if err := json.Unmarshal(b, into); err != nil {
			p.t.Fatalf("%s %s: reading %q: %v", method, path, b, err)
		}
	}
	return res.StatusCode, true
}

// fault notes what must never be. The first few are told; a storm of them says
// no more.
func (p *platform) fault(format string, args ...any) {
	if p.faults.Add(1) <= 20 {
		p.t.Errorf(format, args...)
	}
}

// eventually is harness.Eventually for what can say how far it is.
func (p *platform) eventually(words string, ok func() (bool, string)) {
	p.t.Helper()
	for deadline := time.Now().Add(inForce); ; time.Sleep(10 * time.Millisecond) {
		done, last := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("waiting for %s: not within %s; %s", words, inForce, last)
		}
	}
}

// pass waits for so many more answers to clients: what follows then happens
// under load.
func (p *platform) pass(n int) {
	p.t.Helper()
	until := p.passed.Load() + int64(n)
	harness.Eventually(p.t, time.Minute, fmt.Sprintf("%d more answers to clients", n), func() bool { return p.passed.Load() >= until })
}
