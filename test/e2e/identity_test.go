package e2e

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

func TestNothingThatAClientForgesReachesTheBackend(t *testing.T) {
	recorder := harness.StartRecorder(t)
	s := harness.StartStack(t, harness.Options{Recorder: recorder})
	const evil = "evil-42"
	host := "Host: " + harness.Host(harness.Acme)
	get := func(lines ...string) string {
		return "GET /api/pets HTTP/1.1\r\n" + host + "\r\n" + strings.Join(append(lines, "Connection: close"), "\r\n") + "\r\n\r\n"
	}
	for name, request := range map[string]string{
		"plain":       get("X-Tenant-ID: "+evil, "X-Tenant-Plan: "+evil, "Tenant-Identity: "+evil),
		"other case":  get("x-tenant-id: "+evil, "X-TENANT-PLAN: "+evil, "tEnAnT-iDeNtItY: "+evil),
		"underscores": get("X_Tenant_ID: "+evil, "X-Tenant_Plan: "+evil, "Tenant_Identity: "+evil),
		"duplicates":  get("X-Tenant-ID: "+harness.Acme, "X-Tenant-ID: "+evil, "Tenant-Identity: "+evil, "Tenant-Identity: "+evil),
		"trailers, declared": "POST /api/pets HTTP/1.1\r\n" + host + "\r\nTransfer-Encoding: chunked\r\nTrailer: X-Tenant-ID, Tenant-Identity\r\nConnection: close\r\n\r\n" +
			"2\r\n{}\r\n0\r\nX-Tenant-ID: " + evil + "\r\nTenant-Identity: " + evil + "\r\n\r\n",
		"trailers, others declared": "POST /api/pets HTTP/1.1\r\n" + host + "\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: close\r\n\r\n" +
			"2\r\n{}\r\n0\r\nX-Sum: 1\r\nX-Tenant-ID: " + evil + "\r\n\r\n",
		"listed in Connection": "GET /api/pets HTTP/1.1\r\n" + host + "\r\nConnection: close, X-Tenant-ID, X-Tenant-Plan, Tenant-Identity\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			recorder.Reset()
			if res := s.Raw(harness.Host(harness.Acme), request); res.Status != http.StatusOK {
				t.Fatalf("status %d; want the request to pass without what was forged\n%s", res.Status, res.Body)
			}
			requests := recorder.Requests()
			if len(requests) != 1 {
				t.Fatalf("the backend got %d requests; want 1", len(requests))
			}
			if sent := recorder.Bytes(); strings.Contains(sent, evil) {
				t.Errorf("the backend was sent:\n%s", sent)
			}
			r := requests[0]
			for name, want := range map[string]string{"X-Tenant-Id": harness.Acme, "X-Tenant-Plan": "free"} {
				if got := r.Header[name]; len(got) != 1 || got[0] != want {
					t.Errorf("the backend got %s %q; want %q", name, got, want)
				}
			}
			if got := r.Header["Tenant-Identity"]; len(got) != 1 || strings.Count(got[0], ".") != 2 {
				t.Errorf("the backend got Tenant-Identity %q; want one compact JWS", got)
			}
			if len(r.Trailer) != 0 {
				t.Errorf("the backend got trailers %v", r.Trailer)
			}
		})
	}
}

func TestBackendBelievesTheGatewayOnly(t *testing.T) {
	s := harness.StartStack(t, harness.Options{})
	res := s.Plain(http.MethodGet, s.Backend, "/api/pets", "", "X-Tenant-ID", harness.Acme, "X-Tenant-Plan", "enterprise")
	if res.Status != http.StatusUnauthorized {
		t.Errorf("past the gateway: status %d; want 401\n%s", res.Status, res.Body)
	}
	if res := s.Get(harness.Acme, "/api/admin/tenants"); res.Status == http.StatusOK {
		t.Errorf("the admin interface answers by a tenant's site:\n%s", res.Body)
	}
	for _, name := range []string{"data/identity.key", "data/admin.token"} {
		info, err := os.Stat(s.Path(name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, info.Mode(), err)
		}
	}
}
