package edge

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

const reloads = 100

// Caddy opens new listening sockets for each configuration and closes the old
// ones, and with them connections that wait in their queues; so a few requests
// are lost with any Caddy. A Caddy without this project's modules therefore
// runs beside the gateway, with the same listeners, load and reloads.
func TestAHundredReloadsUnderLoadCostNothing(t *testing.T) {
	upstream := loadBackend(t)
	// Idle connections to the backend outlive their configuration by keepalive.
	proxy := lines("reverse_proxy "+upstream+" {", "stream_close_delay 10m", "transport http {", "keepalive 2s", "}", "}")
	const sites = "*.petstore.test {\ntls internal\n"
	ours := startGateway(t, "", options()+sites+"tenant host petstore.test\ntenant_rate_limit\ntenant_identity\nheader X-Generation {$GENERATION:0}\n"+proxy+"}\n")
	bare := startGateway(t, "", lines("{", "admin 127.0.0.1:{$ADMIN_PORT}", "persist_config off", "http_port {$HTTP_PORT}", "https_port {$HTTPS_PORT}",
		"storage file_system storage", "skip_install_trust", "}")+sites+"header X-Generation {$GENERATION:0}\n"+proxy+"}\n")
	both := []*gateway{ours, bare}
	generations := make(map[*gateway][]string)
	for _, g := range both {
		servedAt(t, g.https, "acme-pets.petstore.test", "/")
		generations[g] = []string{g.adapted("0"), g.adapted("1")}
	}

	// What a reload leaves behind once is not what each reload leaves behind.
	storm(t, both, generations, 5, nil)
	before := []footprint{ours.footprint(), bare.footprint()}
	used := ours.used()

	streams := []*stream{
		openWebSocket(t, ours.https), openWebSocket(t, ours.https),
		openEvents(t, ours.https, "http/1.1"), openEvents(t, ours.https, "h2"), openEvents(t, ours.https, "h3"),
	}
	var loads []*load
	storm(t, both, generations, reloads, func() {
		for _, g := range both {
			loads = append(loads, startLoad(t, g.https))
		}
	})
	for i, s := range streams {
		if err := s.end(); err != nil {
			t.Errorf("stream %d broke after %d turns: %v", i, s.turns.Load(), err)
		} else if s.turns.Load() < reloads/2 {
			t.Errorf("stream %d had %d turns only", i, s.turns.Load())
		}
	}
	served, lost := loads[0].end()
	bareServed, bareLost := loads[1].end()
	t.Logf("gateway: %d served, %d lost; bare Caddy: %d served, %d lost", served, lost, bareServed, bareLost)
	if served < 1000 || bareServed < 1000 {
		t.Errorf("too few requests to mean something")
	}
	// Both numbers are random. Five standard deviations of their difference are
	// not reached by chance.
	if bound := float64(bareLost) + 5*math.Sqrt(float64(lost+bareLost)); float64(lost) > bound {
		t.Errorf("the gateway lost %d requests, bare Caddy %d", lost, bareLost)
	}

	// A counter that was reset would be below what was served since.
	for slug, n := range ours.used() {
		if most := n - used[slug]; most < loads[0].served[slug].Load() || most > loads[0].served[slug].Load()+lost+10 {
			t.Errorf("%s: the limiter counted %d requests; %d were served", slug, most, loads[0].served[slug].Load())
		}
	}
	var after []footprint
	harness.Eventually(t, harness.StartTimeout, "connections and goroutines of old configurations to go", func() bool {
		after = []footprint{ours.footprint(), bare.footprint()}
		return after[0].goroutines <= before[0].goroutines+20 && after[0].files <= before[0].files+10
	})
	t.Logf("gateway: %+v, then %+v; bare Caddy: %+v, then %+v", before[0], after[0], before[1], after[1])
	if grown, bareGrown := after[0].heap-before[0].heap, after[1].heap-before[1].heap; grown > max(bareGrown, 0)+(4<<20) {
		t.Errorf("the heap has grown by %.0f bytes, that of bare Caddy by %.0f", grown, bareGrown)
	}

	if status := ours.load(strings.Replace(generations[ours][0], `"tenancy":{`, `"tenancy":{"default_plan":"none",`, 1)); status == http.StatusOK {
		t.Error("a configuration with a plan that there is none of was loaded")
	}
	if a := connect(t, ours.https, "h2", "acme-pets.petstore.test").get("acme-pets.petstore.test", "/"); a.status != http.StatusOK {
		t.Errorf("after a reload that failed: %+v", a)
	}
}

// storm reloads both gateways at once, n times, each time with another
// configuration than before.
func storm(t *testing.T, both []*gateway, generations map[*gateway][]string, n int, begin func()) {
	t.Helper()
	if begin != nil {
		begin()
	}
	for i := range n {
		done := make(chan int, len(both))
		for _, g := range both {
			go func() { done <- g.load(generations[g][(i+1)%2]) }()
		}
		for range both {
			if status := <-done; status != http.StatusOK {
				t.Fatalf("reload %d: status %d", i, status)
			}
		}
	}
}

// adapted is the gateway's Caddyfile as JSON.
func (g *gateway) adapted(generation string) string {
	g.t.Helper()
	text, err := os.ReadFile(g.path("Caddyfile"))
	if err != nil {
		g.t.Fatal(err)
	}
	write(g.t, g.path("generation.caddyfile"), strings.ReplaceAll(string(text), "{$GENERATION:0}", generation))
	out, err := g.caddy("adapt", "--config", "generation.caddyfile", "--adapter", "caddyfile")
	if err != nil {
		g.t.Fatalf("adapting: %v\n%s", err, out)
	}
	for line := range strings.SplitSeq(out, "\n") {
		if strings.HasPrefix(line, `{"admin"`) {
			return line // the others are the log
		}
	}
	g.t.Fatalf("adapting: no configuration in\n%s", out)
	return ""
}

// load puts a configuration in force and returns the status. Loading one twice does
// no harm.
func (g *gateway) load(config string) int {
	g.t.Helper()
	status, _ := g.askAdmin(func() (*http.Response, error) {
		return adminClient.Post(g.adminURL("/load"), "application/json", strings.NewReader(config))
	})
	return status
}

// fromAdmin is what the admin interface answers to a GET.
func (g *gateway) fromAdmin(path string) string {
	g.t.Helper()
	status, text := g.askAdmin(func() (*http.Response, error) { return adminClient.Get(g.adminURL(path)) })
	if status != http.StatusOK {
		g.t.Fatalf("asking the admin interface for %s: status %d: %s", path, status, text)
	}
	return text
}

// askAdmin asks the admin interface until it answers: it is one of the listeners that
// a reload replaces, so that an answer may get lost.
func (g *gateway) askAdmin(ask func() (*http.Response, error)) (status int, text string) {
	g.t.Helper()
	var err error
	for range 10 {
		var res *http.Response
		if res, err = ask(); err != nil {
			continue
		}
		var body []byte
		body, err = io.ReadAll(res.Body)
		res.Body.Close()
		if err == nil {
			return res.StatusCode, string(body)
		}
	}
	g.t.Errorf("the admin interface does not answer: %v", err)
	return 0, ""
}

// adminClient keeps no connection: each reload ends the one before.
var adminClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}

// used is how many requests of this machine the limiter has counted, by slug.
func (g *gateway) used() map[string]int64 {
	g.t.Helper()
	used := make(map[string]int64)
	for _, slug := range loadSlugs {
		host := slug + ".petstore.test"
		var a answer
		harness.Eventually(g.t, harness.StartTimeout, host+" to be served", func() bool {
			c, err := tryConnect(g.t, g.https, "http/1.1", host)
			if err == nil {
				a, err = c.try(host, "/")
			}
			return err == nil // the last reload may have cost the one before
		})
		left, err := strconv.ParseInt(a.header.Get("X-RateLimit-Remaining"), 10, 64)
		if err != nil {
			g.t.Fatalf("reading the limit: %v: %+v", err, a)
		}
		used[slug] = 1_000_000 - left
	}
	return used
}

// footprint is what a gateway holds.
type footprint struct{ goroutines, files, heap float64 }

func (g *gateway) footprint() footprint {
	g.t.Helper()
	f := footprint{heap: g.heap()}
	for _, s := range g.metrics("go_goroutines") {
		f.goroutines = s.value
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", g.process.PID()))
	if err != nil {
		g.t.Fatal(err)
	}
	f.files = float64(len(open))
	return f
}
