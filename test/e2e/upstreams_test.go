package e2e

import (
	"net/http"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

func TestATenantIsLedToABackendOfItsOwnAndBackWithoutAReload(t *testing.T) {
	ownBackend := func(t *testing.T, o harness.Options) {
		shipped := o.Caddyfile
		o.Caddyfile = func(text string) string {
			if shipped != nil {
				text = shipped(text)
			}
			return harness.Edit(t, text, "reverse_proxy 127.0.0.1:{$BACKEND_PORT:9000}\n", "reverse_proxy {\n\t\tdynamic tenant 127.0.0.1:{$BACKEND_PORT:9000} {\n\t\t\tallow 127.0.0.1\n\t\t}\n\t}\n")
		}
		s := harness.StartStack(t, o)
		silo := harness.StartRecorder(t)
		isSilos := func(r *harness.Response) bool { return r.Body == "recorded\n" }
		if res := s.Get(harness.Acme, "/api/pets"); res.Status != http.StatusOK || isSilos(res) {
			t.Fatalf("before: %d %s", res.Status, res.Body)
		}
		patchTenant(t, s, harness.Acme, `{"upstreams":["`+silo.Address()+`"]}`)
		harness.Eventually(t, inForce, "the tenant's requests to go to its own backend", func() bool { return isSilos(s.Get(harness.Acme, "/api/pets")) })
		for _, r := range silo.Requests() {
			if slug := r.Header.Get("X-Tenant-ID"); slug != harness.Acme {
				t.Errorf("the backend of its own got a request of tenant %q", slug)
			}
		}
		if res := s.Get(harness.Fluffy, "/api/pets"); res.Status != http.StatusOK || isSilos(res) {
			t.Errorf("another tenant: %d %s", res.Status, res.Body)
		}
		patchTenant(t, s, harness.Acme, `{"upstreams":[]}`)
		harness.Eventually(t, inForce, "the tenant's requests to go to the shared backend again", func() bool {
			res := s.Get(harness.Acme, "/api/pets")
			return res.Status == http.StatusOK && !isSilos(res)
		})
	}
	t.Run("sqlite", func(t *testing.T) { ownBackend(t, harness.Options{}) })
	t.Run("postgres", func(t *testing.T) { ownBackend(t, harness.OnPostgres(t)) })
}
