package e2e

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

func TestMetricsPagesPassPromtoolAndNameOnlyKnownTenants(t *testing.T) {
	s := harness.StartStack(t, harness.Options{})
	s.Get(harness.Acme, "/api/pets")
	s.Get("no-such-shop", "/api/pets")
	s.Do(harness.Request{Host: harness.Host(harness.Acme), Path: "/api/pets", Header: http.Header{"X-Tenant-Id": {"no-such-shop"}}})
	s.Plain(http.MethodGet, s.Backend, "/api/pets", "", "X-Tenant-ID", "no-such-shop")

	promtool := harness.Tool(t, "promtool", "prometheus")
	for name, port := range map[string]int{"gateway": s.Admin, "pet store": s.Backend} {
		page := s.Plain(http.MethodGet, port, "/metrics", "")
		if page.Status != http.StatusOK {
			t.Fatalf("%s: status %d\n%s", name, page.Status, page.Body)
		}
		cmd := exec.Command(promtool, "check", "metrics")
		cmd.Stdin = strings.NewReader(page.Body)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: promtool: %v\n%s", name, err, out)
		}
		if !strings.Contains(page.Body, `tenant="`+harness.Acme+`"`) {
			t.Errorf("%s: no series of tenant %s", name, harness.Acme)
		}
		if strings.Contains(page.Body, "no-such-shop") {
			t.Errorf("%s: a name that a client made up is on the page", name)
		}
	}
	backend := s.Plain(http.MethodGet, s.Backend, "/metrics", "").Body
	for _, want := range []string{
		`api_requests_total{endpoint="/api/pets",method="GET",status="200",tenant="acme-pets"}`,
		`api_request_duration_seconds_count{endpoint="/api/pets",tenant="acme-pets"}`,
	} {
		if !strings.Contains(backend, want) {
			t.Errorf("pet store: no series %s", want)
		}
	}
}
