package edge

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// The production form: one wildcard certificate for all tenants, from an ACME
// authority, which takes control of the domain's DNS as the proof.
func TestTheWildcardCertificateIsObtainedRenewedAndKept(t *testing.T) {
	dns := startNameserver(t, "petstore.test")
	ca := startAuthority(t, dns.Address)
	recorder := harness.StartRecorder(t)
	caddyfile := options("renew_interval 1s", "acme_ca "+ca.Directory, "acme_ca_root "+ca.TrustFile) + lines(
		"*.petstore.test, petstore.test {", "tls {",
		"dns testdns "+dns.URL, "resolvers "+dns.Address, "propagation_timeout 20s", "{$RENEW}", "}",
		"tenant host petstore.test", "tenant_identity", fmt.Sprintf("reverse_proxy 127.0.0.1:%d", recorder.Port), "}")
	g := startGateway(t, withPlugin(t, "plugin.example/dnsprovider=test/testdata/dnsprovider"), caddyfile)
	servedAt(t, g.https, "acme-pets.petstore.test", "/")

	roots := ca.roots()
	verified := func(c *connection, host string) {
		t.Helper()
		if _, err := c.cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: c.chain, DNSName: host}); err != nil {
			t.Errorf("%s: the certificate shown: %v", host, err)
		}
	}
	first := connect(t, g.https, "h2", "acme-pets.petstore.test").cert
	for _, slug := range []string{"acme-pets", "fluffy-friends"} {
		for _, protocol := range protocols {
			c := connect(t, g.https, protocol, slug+".petstore.test")
			verified(c, slug+".petstore.test")
			if c.cert.SerialNumber.Cmp(first.SerialNumber) != 0 {
				t.Errorf("%s by %s: a certificate of its own: %s", slug, protocol, c.cert.DNSNames)
			}
			if a := c.get(slug+".petstore.test", "/"); a.status != http.StatusOK {
				t.Errorf("%s by %s: %+v", slug, protocol, a)
			}
			if seen := recorder.Requests(); seen[len(seen)-1].Header.Get("X-Tenant-ID") != slug {
				t.Errorf("%s by %s: the backend got %v", slug, protocol, seen[len(seen)-1].Header)
			}
		}
	}
	if names := fmt.Sprint(g.certificates()); !strings.Contains(names, "wildcard_.petstore.test") || strings.Contains(names, "acme") {
		t.Errorf("certificates in storage: %s", names)
	}
	// The name must not tell, and no tenant's name goes to a public log.
	for _, name := range first.DNSNames {
		if name != "*.petstore.test" {
			t.Errorf("the certificate names %q", name)
		}
	}
	harness.Eventually(t, harness.StartTimeout, "the challenges to be cleaned up", func() bool { return dns.left() == 0 })

	// A window that begins right after issuance makes the next look a renewal.
	g.reload(strings.Replace(caddyfile, "{$RENEW}", "renewal_window_ratio 0.9999", 1))
	old := connect(t, g.https, "h2", "acme-pets.petstore.test")
	harness.Eventually(t, harness.StartTimeout, "the certificate to be renewed", func() bool {
		return connect(t, g.https, "http/1.1", "fluffy-friends.petstore.test").cert.SerialNumber.Cmp(first.SerialNumber) != 0
	})
	if a := old.get("acme-pets.petstore.test", "/"); a.status != http.StatusOK {
		t.Errorf("a connection from before the renewal: %+v", a)
	}
	verified(connect(t, g.https, "h3", "acme-pets.petstore.test"), "acme-pets.petstore.test")

	// From storage, with nobody left to ask.
	g.reload(caddyfile)
	ca.process.Kill()
	kept := connect(t, g.https, "h2", "acme-pets.petstore.test").cert
	g.restart()
	servedAt(t, g.https, "acme-pets.petstore.test", "/")
	c := connect(t, g.https, "h2", "fluffy-friends.petstore.test")
	verified(c, "fluffy-friends.petstore.test")
	if c.cert.SerialNumber.Cmp(kept.SerialNumber) != 0 {
		t.Error("after a restart: another certificate than the one in storage")
	}
}

// reload puts another Caddyfile in force.
func (g *gateway) reload(caddyfile string) {
	g.t.Helper()
	write(g.t, g.path("Caddyfile"), caddyfile)
	if out, err := g.caddy("reload", "--config", "Caddyfile", "--adapter", "caddyfile", "--address", fmt.Sprintf("127.0.0.1:%d", g.admin), "--force"); err != nil {
		g.t.Fatalf("reloading: %v\n%s", err, out)
	}
}
