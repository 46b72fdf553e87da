package caddymodule_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
)

// verified returns what the signed identity of a request at the backend says.
func (g *gateway) verified(r *http.Request) identity.Claims {
	g.t.Helper()
	v := identity.NewVerifier(identity.VerifierOptions{Keys: identity.FileKeys(filepath.Join(g.dir, "identity.jwks.json"))})
	values := r.Header.Values(identity.HeaderName)
	if len(values) != 1 {
		g.t.Fatalf("the backend got %d identities", len(values))
	}
	claims, err := v.Verify(values[0], time.Now())
	if err != nil {
		g.t.Fatal(err)
	}
	return claims
}

func TestARequestReachesTheBackendWithItsTenant(t *testing.T) {
	g := newGateway(t, strings.Replace(appOptions, "5/1h", "100/1h", 1), fullSite)
	for _, host := range []string{
		"acme-pets.pets.test", "ACME-Pets.Pets.TEST", "acme-pets.pets.test:8443", "acme-pets.pets.test.",
		"pets.acme.example", "PETS.acme.example.:443",
	} {
		answer := g.get(host, "/api/pets?x=%2F")
		if status(answer) != "200" || !strings.HasSuffix(answer, "from the backend") {
			t.Fatalf("%s: %s", host, answer)
		}
		r := g.backend.last(t)
		claims := g.verified(r)
		if claims.Tenant.String() != "acme-pets" || claims.TenantID != "t1" || claims.Plan != "free" {
			t.Errorf("%s: identity of %+v", host, claims)
		}
		if r.Header.Get("X-Tenant-ID") != "acme-pets" || r.Header.Get("X-Tenant-Plan") != "free" {
			t.Errorf("%s: headers %v", host, r.Header)
		}
		if r.RequestURI != "/api/pets?x=%2F" {
			t.Errorf("%s: asked for %s", host, r.RequestURI)
		}
	}
}

func TestEveryRefusalIsTheSameAnswer(t *testing.T) {
	g := newGateway(t, appOptions, `
	tenant {
		host pets.test
		header X-Tenant-ID
	}
	tenant_rate_limit
	tenant_identity
	reverse_proxy {backend}`)
	want := g.get("nobody.pets.test", "/")
	if status(want) != "404" || field(want, "Content-Type") != "application/problem+json" {
		t.Fatalf("unknown tenant: %s", want)
	}
	for name, answer := range map[string]string{
		"suspended":            g.get("sleepy.pets.test", "/"),
		"suspended own domain": g.get("sleepy.example", "/"),
		"deeper":               g.get("a.acme-pets.pets.test", "/"),
		"malformed label":      g.get("-acme.pets.test", "/"),
		"reserved word":        g.get("www.pets.test", "/"),
		"empty label":          g.get(".pets.test", "/"),
		"wildcard":             g.get("*.pets.test", "/"),
		"the domain itself":    g.get("pets.test", "/"),
		"foreign domain":       g.get("example.org", "/"),
		"IP address":           g.get("127.0.0.1", "/"),
		"IPv6 address":         g.get("[::1]:80", "/"),
		"long label":           g.get(strings.Repeat("a", 64)+".pets.test", "/"),
		"conflict":             g.get("acme-pets.pets.test", "/", "X-Tenant-ID: fluffy-friends"),
		"conflict with nobody": g.get("acme-pets.pets.test", "/", "X-Tenant-ID: nobody"),
		"two headers":          g.get("acme-pets.pets.test", "/", "X-Tenant-ID: acme-pets", "X-Tenant-ID: acme-pets"),
		"list":                 g.get("acme-pets.pets.test", "/", "X-Tenant-ID: acme-pets, fluffy-friends"),
		"upper case header":    g.get("pets.test", "/", "X-Tenant-ID: ACME-PETS"),
		"another path":         g.get("nobody.pets.test", "/api/../api/pets?a=b"),
		"another method":       g.raw("DELETE /x HTTP/1.1\r\nHost: nobody.pets.test\r\nConnection: close\r\n\r\n"),
		"options":              g.raw("OPTIONS /x HTTP/1.1\r\nHost: nobody.pets.test\r\nOrigin: https://x.example\r\nConnection: close\r\n\r\n"),
	} {
		if answer != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, answer, want)
		}
	}
	head := g.raw("HEAD / HTTP/1.1\r\nHost: nobody.pets.test\r\nConnection: close\r\n\r\n")
	if wantHead, _, _ := strings.Cut(want, "\r\n\r\n"); head != wantHead+"\r\n\r\n" {
		t.Errorf("HEAD: got\n%s\nwant\n%s", head, wantHead)
	}
	g.backend.none(t)
	if answer := g.get("pets.test", "/", "X-Tenant-ID: acme-pets"); status(answer) != "200" {
		t.Errorf("by header alone: %s", answer)
	}
}

func TestAConflictIsAudited(t *testing.T) {
	g := newGateway(t, appOptions, strings.Replace(fullSite, "tenant host pets.test", "tenant {\n host pets.test\n header\n }", 1))
	g.get("acme-pets.pets.test", "/api/pets", "X-Tenant-ID: fluffy-friends")
	eventually(t, "the conflict is in the audit file", func() bool {
		file, err := os.ReadFile(filepath.Join(g.dir, "audit.jsonl"))
		return err == nil && strings.Contains(string(file), `"type":"tenant_conflict"`) &&
			strings.Contains(string(file), "host=acme-pets") && strings.Contains(string(file), "header=fluffy-friends") &&
			strings.Contains(string(file), `"client_ip":"127.0.0.1"`)
	})
}

func TestNothingAClientSendsPassesForTheGateways(t *testing.T) {
	g := newGateway(t, strings.Replace(appOptions, "5/1h", "1000/1h", 1), fullSite)
	forged := []string{
		"X-Tenant-ID: fluffy-friends", "x-tenant-id: fluffy-friends", "X_Tenant_ID: fluffy-friends",
		"X-Tenant_ID: fluffy-friends", "x.tenant.id: fluffy-friends", "X-TENANT-PLAN: enterprise",
		"Tenant-Identity: x.y.z", "tenant_identity: x.y.z", "X-Forwarded-Prefix: /fluffy-friends",
		"Forwarded: host=fluffy-friends.pets.test", "X-Original-URL: /fluffy-friends", "X-Host: fluffy-friends.pets.test",
		"X-Forwarded-Host: fluffy-friends.pets.test",
	}
	for _, connection := range []string{"close, X-Tenant-ID, Tenant-Identity, X-Tenant-Plan", "close", "X-Tenant-Id, close", "tenant-identity,close"} {
		lines := append([]string{"POST /api/pets HTTP/1.1", "Host: acme-pets.pets.test", "Connection: " + connection}, forged...)
		lines = append(lines, "Trailer: X-Tenant-ID", "Transfer-Encoding: chunked", "",
			"1", "x", "0", "X-Tenant-ID: fluffy-friends", "Tenant-Identity: x.y.z", "", "")
		if answer := g.raw(strings.Join(lines, "\r\n")); status(answer) != "200" {
			t.Fatalf("Connection: %s: %s", connection, answer)
		}
		r := g.backend.last(t)
		if claims := g.verified(r); claims.Tenant.String() != "acme-pets" {
			t.Errorf("Connection: %s: identity of %q", connection, claims.Tenant)
		}
		if got := r.Header.Values("X-Tenant-ID"); len(got) != 1 || got[0] != "acme-pets" {
			t.Errorf("Connection: %s: X-Tenant-ID %q", connection, got)
		}
		for name, values := range r.Header {
			if strings.Contains(strings.Join(values, " "), "fluffy-friends") {
				t.Errorf("Connection: %s: the backend got %s: %q", connection, name, values)
			}
		}
		if len(r.Trailer) > 0 {
			t.Errorf("Connection: %s: trailers %v", connection, r.Trailer)
		}
	}
}

func TestThePathNamesTheTenantAndIsStripped(t *testing.T) {
	g := newGateway(t, strings.Replace(appOptions, "5/1h", "1000/1h", 1), strings.Replace(fullSite, "host pets.test", "path", 1)+`
	header X-Prefix {tenant.path_prefix}`)
	for request, want := range map[string]string{
		"/acme-pets/api/pets?q=1":      "/api/pets?q=1",
		"/acme-pets":                   "/",
		"/acme-pets/":                  "/",
		"/acme-pets/a%2Fb/c%20d":       "/a%2Fb/c%20d",
		"/acme-pets/fluffy-friends/x":  "/fluffy-friends/x",
		"/acme-pets/%C3%A4?a=%2e%2e/x": "/%C3%A4?a=%2e%2e/x",
	} {
		if answer := g.get("any.example", request); status(answer) != "200" || field(answer, "X-Prefix") != "/acme-pets" {
			t.Errorf("%s: %s", request, answer)
			continue
		}
		r := g.backend.last(t)
		if r.RequestURI != want || r.Header.Get("X-Forwarded-Prefix") != "/acme-pets" {
			t.Errorf("%s: the backend was asked for %s under %q; want %s", request, r.RequestURI, r.Header.Get("X-Forwarded-Prefix"), want)
		}
		if claims := g.verified(r); claims.Tenant.String() != "acme-pets" {
			t.Errorf("%s: identity of %q", request, claims.Tenant)
		}
	}
	for _, request := range []string{
		"/", "/nobody/x", "/acme-pets/../fluffy-friends/x", "/acme-pets/%2e%2e/fluffy-friends", "//acme-pets/x",
		"/%61cme-pets/x", "/acme-pets;x/y", "/acme-pets/./x", "/acme-pets%2f..%2fx", "/ACME-PETS/x", "/acme-pets/..%5cx",
		"/acme-pets/%252e%252e/x", "/acme-petsx/y", "*",
	} {
		if answer := g.get("any.example", request); status(answer) != "404" && status(answer) != "400" {
			t.Errorf("%s: %s", request, answer)
		}
	}
	g.backend.none(t)
}

func TestThePathIsKeptWhenAsked(t *testing.T) {
	g := newGateway(t, appOptions, strings.Replace(fullSite, "host pets.test", "path keep", 1))
	if answer := g.get("any.example", "/acme-pets/api"); status(answer) != "200" {
		t.Fatal(answer)
	}
	if r := g.backend.last(t); r.RequestURI != "/acme-pets/api" {
		t.Errorf("asked for %s", r.RequestURI)
	}
}
