package e2e

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

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
