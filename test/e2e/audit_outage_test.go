package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// delivered is how long deliveries may take after an outage: the longest pause
// between two tries is half a minute.
const delivered = 90 * time.Second

const (
	auditDropped = "caddy_tenancy_audit_dropped_total"
	auditErrors  = "caddy_tenancy_audit_sink_errors_total"
)

// await waits until the table has n records.
func await(t *testing.T, s *harness.Stack, n int) {
	t.Helper()
	harness.Eventually(t, delivered, fmt.Sprintf("%d records to be in the table", n), func() bool { return len(attempts(t, s, "")) >= n })
}

// startPetstore starts the pet store again and waits until it answers.
func startPetstore(t *testing.T, s *harness.Stack) {
	t.Helper()
	s.Petstore.Start()
	harness.Eventually(t, harness.StartTimeout, "the pet store to answer", func() bool {
		res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", s.Backend))
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

func TestAttemptsMadeWhileTheBackendIsDownArriveLaterAlsoAfterAReload(t *testing.T) {
	s := harness.StartStack(t, crossing(t))
	s.Petstore.Stop()
	if status := s.Gateway.Stop(); status != 0 {
		t.Fatalf("stopping the gateway: exit status %d", status)
	}
	s.Gateway.Start()
	harness.Eventually(t, harness.StartTimeout, "the gateway to answer for the backend that is down", func() bool {
		res, err := s.Try(harness.Request{Host: harness.Host(harness.Paws), Path: "/api/pets"})
		return err == nil && res.Status == http.StatusBadGateway
	})
	crossEach(t, s, 0, 20)
	s.MustReload()
	crossEach(t, s, 20, 40)
	inFile(t, s, 40)
	harness.Eventually(t, inForce, "a delivery to fail", func() bool { return metric(t, s, auditErrors) > 0 })
	if log := s.Gateway.Log(); !strings.Contains(log, "audit records cannot be written") || !strings.Contains(log, `"sink":"http"`) {
		t.Error("the log does not say that the records wait")
	}
	startPetstore(t, s)
	await(t, s, 40)
	checkEach(t, s, 40)
	if n := metric(t, s, auditDropped); n != 0 {
		t.Errorf("%v records were dropped", n)
	}
}

func TestABackendKilledInAFloodCostsCountedRecordsAndNoRequest(t *testing.T) {
	s := harness.StartStack(t, crossing(t))
	// Five of each client are recorded one by one, in any minute: more than the
	// queue holds, and no more than are told apart.
	const clients, each, flood = 1000, 5, 5000
	var next atomic.Int64
	var wg sync.WaitGroup
	killed := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			for i := next.Add(1); i <= flood; i = next.Add(1) {
				if i == flood/20 {
					s.Petstore.Kill()
					close(killed)
				}
				res, err := s.Try(harness.Request{
					Host: harness.Host(harness.Acme), Path: "/flood",
					Header: http.Header{"X-Tenant-Id": {harness.Fluffy}, "X-Forwarded-For": {fmt.Sprintf("10.0.%d.%d", i%clients/250, i%clients%250)}},
				})
				if err != nil || !refusedByGateway(res) {
					t.Errorf("request %d of the flood: %v, %v", i, res, err)
				}
			}
		})
	}
	wg.Wait()
	<-killed
	inFile(t, s, flood)
	dropped := int64(metric(t, s, auditDropped))
	if dropped == 0 {
		t.Fatal("nothing was dropped: the flood was too small to try anything")
	}
	startPetstore(t, s)
	sums := func() (events, lost int64) {
		for _, a := range attempts(t, s, "") {
			if a.Type == "audit_dropped" {
				lost += a.Count
			} else {
				events += a.Count
			}
		}
		return events, lost
	}
	harness.Eventually(t, delivered, "what was not dropped to be in the table", func() bool {
		events, lost := sums()
		return events+lost >= flood
	})
	if events, lost := sums(); events+lost != flood || lost != dropped {
		t.Errorf("the table has %d attempts and says that %d are missing; %d were made and %d dropped", events, lost, flood, dropped)
	}
	if n := int64(metric(t, s, auditDropped)); n != dropped {
		t.Errorf("%d were dropped, %d during the flood", n, dropped)
	}
	t.Logf("%d of %d dropped", dropped, flood)
}

func TestAnswersCutAfterTheCommitBringNoAttemptTwice(t *testing.T) {
	s := harness.StartStack(t, crossing(t))
	proxy := harness.StartProxy(t, fmt.Sprintf("127.0.0.1:%d", s.Backend))
	text := harness.Edit(t, s.Read("Caddyfile"), "http://127.0.0.1:{$BACKEND_PORT:9000}/internal/audit", fmt.Sprintf("http://127.0.0.1:%d/internal/audit", proxy.Port))
	if err := os.WriteFile(s.Path("Caddyfile"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.MustReload()
	proxy.CutReplies.Store(3)
	crossEach(t, s, 0, 10)
	await(t, s, 10)
	crossEach(t, s, 10, 20)
	harness.Eventually(t, delivered, "three answers to be cut", func() bool { return proxy.Cut.Load() == 3 })
	await(t, s, 20)
	harness.Eventually(t, delivered, "the last delivery to be answered", func() bool { return metric(t, s, auditErrors) >= 3 })
	checkEach(t, s, 20)
}

func TestABackendThatHangsHoldsUpNeitherRequestsNorTheFileNorAReload(t *testing.T) {
	s := harness.StartStack(t, crossing(t))
	s.Petstore.Freeze()
	crossEach(t, s, 0, 20)
	inFile(t, s, 20)
	s.MustReload()
	crossEach(t, s, 20, 30)
	inFile(t, s, 30)
	harness.Eventually(t, delivered, "a delivery to time out", func() bool { return metric(t, s, auditErrors) > 0 })
	s.Petstore.Thaw()
	await(t, s, 30)
	checkEach(t, s, 30)
	if n := metric(t, s, auditDropped); n != 0 {
		t.Errorf("%v records were dropped", n)
	}
}
