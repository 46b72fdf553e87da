package e2e

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redistest"
	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

const savedCounts = "data/caddy/tenancy/limits.state"

func TestCountersInTheProcessSurviveARestartOfTheGateway(t *testing.T) {
	s := harness.StartStack(t, harness.Options{})
	before := remaining(t, s, harness.Acme)
	s.RestartGateway()
	if after := remaining(t, s, harness.Acme); after != before-1 {
		t.Errorf("remaining %d before the restart, %d after; want one less", before, after)
	}
}

func TestSavedCountersThatAreDamagedAreNamedAndNotFatal(t *testing.T) {
	s := harness.StartStack(t, harness.Options{})
	before := remaining(t, s, harness.Acme)
	if code := s.Gateway.Stop(); code != 0 {
		t.Fatalf("the gateway ended with %d", code)
	}
	saved, err := os.ReadFile(s.Path(savedCounts))
	if err != nil {
		t.Fatal(err)
	}
	saved[len(saved)/2] ^= 1
	if err := os.WriteFile(s.Path(savedCounts), saved, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Gateway.Start()
	harness.Eventually(t, 30*time.Second, "the gateway serves with damaged counts", func() bool {
		res, err := s.Try(harness.Request{Host: harness.Host(harness.Paws), Path: "/api/pets"})
		return err == nil && res.Status == http.StatusOK
	})
	if after := remaining(t, s, harness.Acme); after <= before-1 {
		t.Errorf("remaining %d after a restart with damaged counts; want more than %d", after, before-1)
	}
	if log := s.Gateway.Log(); !strings.Contains(log, "the counts of the last run could not be read") || !strings.Contains(log, "limits.state") {
		t.Errorf("the damage is not named in the log")
	}
}

func TestReloadsLoseNoLeasedPermitAndNoConnection(t *testing.T) {
	redis := redistest.Start(t)
	s := harness.StartStack(t, harness.Options{Env: []string{"REDIS_URL=" + redis.URL()}})
	good := s.Read("Caddyfile")
	connections := func() int { return strings.Count(redis.Do("CLIENT", "LIST").(string), "addr=") }
	spend := func(n int) (left int) {
		for range n {
			left = remaining(t, s, harness.Paws)
		}
		return left
	}
	// A plan of 10,000 leases. One gateway knows all permits but those that are
	// on their way; a permit that got lost would be missing for good.
	// The highest of some readings is the one with nothing on its way.
	spend(200)
	const readings = 20
	start := 0
	for i := range readings {
		start = max(start, spend(1)+i+1)
	}
	spent := readings
	open := connections()
	for i := range 6 {
		if i%2 == 1 {
			if err := os.WriteFile(s.Path("Caddyfile"), []byte(strings.Replace(good, "plan free 100/1h", "plan free none/1h", 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := s.Reload(); err == nil {
				t.Fatalf("a plan that makes no sense was loaded:\n%s", out)
			}
			continue
		}
		if err := os.WriteFile(s.Path("Caddyfile"), []byte(good), 0o600); err != nil {
			t.Fatal(err)
		}
		s.MustReload()
		spend(50)
		spent += 50
		harness.Eventually(t, 30*time.Second, "what remains and what was spent are what there was", func() bool {
			spent++
			return spend(1)+spent == start
		})
	}
	// The pool may open a few more of its own; six reloads that leak would show.
	if now := connections(); now > open+4 {
		t.Errorf("%d connections to Redis became %d", open, now)
	}
}
