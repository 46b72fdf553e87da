// Package cluster holds tests of several gateways that share one Redis: real
// processes, real sockets.
package cluster

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redistest"
	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// gateways are several gateways with one configuration, and a backend that
// counts.
type gateways struct {
	t       *testing.T
	ports   []int
	process []*harness.Process
	client  *http.Client
	backend *harness.Recorder
}

// start runs n gateways; plan is the one line about tenant acme's plan.
func start(t *testing.T, n int, redisURL, plan string) *gateways {
	t.Helper()
	caddy, _ := harness.Binaries(t)
	g := &gateways{t: t, backend: harness.StartRecorder(t)}
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("tenants.json", `{"tenants":[{"slug":"acme","plan":"tested"}]}`)
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	t.Cleanup(transport.CloseIdleConnections)
	g.client = &http.Client{Transport: transport, Timeout: 30 * time.Second}
	for i := range n {
		port := harness.FreePort(t)
		name := fmt.Sprintf("gateway%d", i)
		write(name+".caddyfile", fmt.Sprintf(`{
	admin off
	persist_config off
	auto_https off
	storage file_system %s-data
	tenancy {
		source file tenants.json
		redis %s {
			budget 5s
		}
		%s
		guesses off
	}
}
http://127.0.0.1:%d {
	tenant header
	tenant_rate_limit
	reverse_proxy 127.0.0.1:%d
}
`, name, redisURL, plan, port, g.backend.Port))
		p := harness.Start(t, harness.Spec{
			Name: name, Dir: dir, Env: append(os.Environ(), "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir),
			Command: []string{caddy, "run", "--config", name + ".caddyfile", "--adapter", "caddyfile"},
		})
		g.ports, g.process = append(g.ports, port), append(g.process, p)
	}
	for i := range g.ports {
		harness.Eventually(t, 30*time.Second, fmt.Sprintf("gateway %d answers", i), func() bool {
			status, _ := g.ask(i, "nobody")
			return status == http.StatusNotFound
		})
	}
	return g
}

// ask sends one request for a tenant through gateway i.
func (g *gateways) ask(i int, slug string) (int, http.Header) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", g.ports[i]), nil)
	if err != nil {
		g.t.Error(err)
		return 0, nil
	}
	req.Header.Set("X-Tenant-ID", slug)
	res, err := g.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode, res.Header
}

// flood sends total requests through all gateways at once and counts the
// answers by status.
func (g *gateways) flood(total, workers int) map[int]int {
	var next atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	counts := make(map[int]int)
	for range workers {
		wg.Go(func() {
			mine := make(map[int]int)
			for {
				n := int(next.Add(1))
				if n > total {
					break
				}
				status, _ := g.ask(n%len(g.ports), "acme")
				mine[status]++
			}
			mu.Lock()
			defer mu.Unlock()
			for status, n := range mine {
				counts[status] += n
			}
		})
	}
	wg.Wait()
	return counts
}

// reached is how many requests the backend has seen.
func (g *gateways) reached() int { return len(g.backend.Requests()) }

func TestThreeGatewaysAdmitExactlyTheQuotaBetweenThem(t *testing.T) {
	for _, test := range []struct {
		name, plan string
		quota      int
	}{
		{"asked for each request", "plan tested 300/1h", 300},
		{"leased", "plan tested 6000/1h", 6000},
	} {
		t.Run(test.name, func(t *testing.T) {
			redis := redistest.Start(t)
			g := start(t, 3, redis.URL(), test.plan)
			counts := g.flood(10*test.quota, 48)
			// What one gateway holds in advance comes back within the lease, and
			// is asked for one by one here.
			admitted := counts[http.StatusOK]
			harness.Eventually(t, 60*time.Second, "the whole quota is used", func() bool {
				for i := range g.ports {
					if status, _ := g.ask(i, "acme"); status == http.StatusOK {
						admitted++
					}
				}
				return admitted >= test.quota
			})
			for i := range g.ports {
				if status, header := g.ask(i, "acme"); status != http.StatusTooManyRequests || header.Get("X-RateLimit-Remaining") != "0" {
					t.Errorf("gateway %d after the quota: %d, %v", i, status, header)
				}
			}
			if admitted != test.quota || g.reached() != test.quota {
				t.Errorf("%d admitted, %d at the backend; want %d: %v", admitted, g.reached(), test.quota, counts)
			}
			if others := 10*test.quota - counts[http.StatusOK] - counts[http.StatusTooManyRequests]; others != 0 {
				t.Errorf("answers other than 200 and 429: %v", counts)
			}
		})
	}
}

func TestAnswersThatAreLostAfterExecutionAdmitNothingMore(t *testing.T) {
	redis := redistest.Start(t)
	proxy := redistest.StartProxy(t, redis)
	const quota = 6000
	g := start(t, 3, proxy.URL(), "plan tested {\nwindow "+strconv.Itoa(quota)+"/1h\non_store_failure deny\n}")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(30 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				proxy.CutReplies.Store(1)
			}
		}
	})
	counts := g.flood(3*quota, 48)
	close(stop)
	wg.Wait()
	if proxy.Cut.Load() == 0 {
		t.Fatal("no answer was cut")
	}
	if counts[http.StatusOK] > quota || g.reached() > quota {
		t.Errorf("%d admitted, %d at the backend, with %d answers cut; want at most %d: %v", counts[http.StatusOK], g.reached(), proxy.Cut.Load(), quota, counts)
	}
	for status := range counts {
		if status != http.StatusOK && status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
			t.Errorf("answers: %v", counts)
		}
	}
	t.Logf("%d answers cut: %v", proxy.Cut.Load(), counts)
}

func TestAKilledGatewayTakesNothingThatWasNotCharged(t *testing.T) {
	redis := redistest.Start(t)
	const quota = 6000
	g := start(t, 3, redis.URL(), "plan tested "+strconv.Itoa(quota)+"/1h")
	done := make(chan map[int]int)
	go func() { done <- g.flood(3*quota, 24) }()
	harness.Eventually(t, 30*time.Second, "a third of the quota is used", func() bool { return g.reached() > quota/3 })
	g.process[0].Kill()
	counts := <-done
	if counts[http.StatusOK] > quota || g.reached() > quota {
		t.Errorf("%d admitted, %d at the backend; want at most %d", counts[http.StatusOK], g.reached(), quota)
	}
	// Only what the dead gateway held, or was about to answer, is lost: a small
	// part of the quota, of which a tenth is a generous bound.
	if g.reached() < quota-quota/10 {
		t.Errorf("only %d of %d were admitted", g.reached(), quota)
	}
	if counts[http.StatusTooManyRequests] == 0 {
		t.Errorf("nobody was refused: %v", counts)
	}
}
