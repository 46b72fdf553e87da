package e2e

import (
	"database/sql"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// change runs statements on the catalog as another program would that owns the
// table.
func change(t *testing.T, s *harness.Stack, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.Path("data/petstore.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
}

func TestOwnDomainGetsACertificateAndOtherNamesDoNot(t *testing.T) {
	s := harness.StartStack(t, harness.Options{})
	const own, foreign = "shop.fluffy.example", "shop.stranger.example"
	ask := func(host string) (*harness.Response, error) {
		return s.Try(harness.Request{Host: host, Path: "/api/pets"})
	}
	if _, err := ask(own); err == nil {
		t.Fatal("a domain that is nobody's yet got a certificate")
	}
	change(t, s, `INSERT INTO tenant_hosts (host, slug, verified, created_at) VALUES ('`+own+`', '`+harness.Fluffy+`', 1, 0);
		UPDATE catalog_revision SET revision = revision + 1;
		UPDATE tenants SET revision = (SELECT revision FROM catalog_revision) WHERE slug = '`+harness.Fluffy+`'`)
	harness.Eventually(t, inForce, "the domain to be served", func() bool {
		res, err := ask(own)
		return err == nil && res.Status == http.StatusOK
	})
	res, err := ask(own)
	if err != nil || res.Body != s.Get(harness.Fluffy, "/api/pets").Body {
		t.Errorf("by its own domain the tenant answers otherwise than by its subdomain: %v\n%s", err, res.Body)
	}
	if res, err := ask(foreign); err == nil {
		t.Errorf("a stranger's domain got a certificate and status %d", res.Status)
	}
	// A suspended tenant's domain is nobody's to an outsider: the certificate
	// that is there already may still be shown, but nothing is served by it.
	patchTenant(t, s, harness.Fluffy, `{"status":"suspended"}`)
	harness.Eventually(t, inForce, "the domain to be refused", func() bool {
		res, err := ask(own)
		return err != nil || refusedByGateway(res)
	})
}

func TestGatewayThatStartsFirstServesOnceTheCatalogIsThere(t *testing.T) {
	s := harness.StartStack(t, harness.Options{})
	s.Petstore.Stop()
	s.Gateway.Stop()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(s.Path("data/petstore.db" + suffix))
	}
	// Nor may it know anything from its last run.
	if err := os.RemoveAll(s.Path("data/caddy/tenancy")); err != nil {
		t.Fatal(err)
	}
	s.Gateway.Start()
	var res *harness.Response
	harness.Eventually(t, harness.StartTimeout, "the gateway to answer", func() bool {
		var err error
		res, err = s.Try(harness.Request{Host: harness.Host(harness.Acme), Path: "/api/pets"})
		return err == nil
	})
	if res.Status != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(res.Header.Get("Content-Type"), "problem+json") {
		t.Errorf("before there is a catalog: status %d, %v\n%s\nwant a 503 problem that says when to try again", res.Status, res.Header, res.Body)
	}
	s.Petstore.Start()
	harness.Eventually(t, harness.StartTimeout, "requests to pass", func() bool {
		return s.Get(harness.Acme, "/api/pets").Status == http.StatusOK
	})
}
