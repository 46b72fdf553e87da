package caddymodule_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
)

func TestATenantWithItsOwnIssuerIsOpenedByNoOther(t *testing.T) {
	g := newKeyGateway(t, keySite)
	own := newIssuer(t, "own")
	var fetches atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		_, _ = w.Write([]byte(`{"keys":[` + own.jwk + `]}`))
	}))
	defer server.Close()
	g.exec("UPDATE tenants SET issuer = 'https://idp.example', jwks = ? WHERE slug = 'own-idp'", server.URL)
	g.exec("UPDATE tenants SET issuer = 'https://sleepy.example', jwks = ? WHERE slug = 'sleepy-idp'", server.URL)
	key := g.addKey("o", "own-idp", "", time.Time{})
	g.settled()
	ownToken := own.token(t, jwt.MapClaims{"iss": "https://idp.example", "tenant": nil})
	eventually(t, "the tenant's own issuer is in force", func() bool { return status(g.get("own-idp.pets.test", "/", ownToken)) == "200" })
	if claims := g.verified(g.backend.last(t)); claims.Tenant.String() != "own-idp" || claims.User != "ann" {
		t.Errorf("identity %+v", claims)
	}
	for name, test := range map[string]struct{ host, header, want string }{
		"the platform's token":           {"own-idp", g.issuer.token(t, jwt.MapClaims{"tenant": "own-idp"}), "401"},
		"a foreign user's":               {"own-idp", g.issuer.token(t, nil), "404"},
		"its own, as another issuer's":   {"own-idp", own.token(t, jwt.MapClaims{"tenant": "own-idp"}), "401"},
		"its own, for another audience":  {"own-idp", own.token(t, jwt.MapClaims{"iss": "https://idp.example", "aud": "cats"}), "401"},
		"its own, on another tenant":     {"acme-pets", ownToken, "401"},
		"its API key":                    {"own-idp", "X-API-Key: " + key, "200"},
		"the platform's, when suspended": {"sleepy-idp", g.issuer.token(t, jwt.MapClaims{"tenant": "sleepy-idp"}), "404"},
	} {
		if answer := g.get(test.host+".pets.test", "/", test.header); status(answer) != test.want {
			t.Errorf("%s: %s", name, answer)
		}
	}
	g.backend.mu.Lock()
	g.backend.seen = nil // the API key's
	g.backend.mu.Unlock()
	eventually(t, "the foreign user is in the audit file", func() bool {
		b, _ := os.ReadFile(filepath.Join(g.dir, "audit.jsonl"))
		return strings.Contains(string(b), `"tenant":"own-idp","user_tenant":"acme-pets"`)
	})
	// It is known over a reload, without fetching again.
	if err := g.load(keyOptions, keySite+"\n# changed"); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if answer := g.get("own-idp.pets.test", "/", ownToken); status(answer) != "200" || fetches.Load() != 1 {
		t.Errorf("after a reload, %d fetches: %s", fetches.Load(), answer)
	}
	// A revocation can mean one issuer's users only.
	g.exec("INSERT INTO revocations (kind, value, issuer, before) VALUES ('subject', 'ann', 'https://idp.example', ?)", time.Now().Add(time.Hour).UnixMicro())
	eventually(t, "its user is refused", func() bool { return status(g.get("own-idp.pets.test", "/", ownToken)) == "401" })
	if answer := g.get("acme-pets.pets.test", "/", g.issuer.token(t, nil)); status(answer) != "200" {
		t.Errorf("the platform's user of that name: %s", answer)
	}
}

func TestTheTenantCanBeThatOfTheKeyAndMustAgree(t *testing.T) {
	g := newKeyGateway(t, strings.Replace(keySite, "tenant host pets.test", "tenant {\nhost pets.test\nkey\n}", 1))
	foreign := g.addKey("f", "fluffy-friends", "", time.Time{})
	own := g.settled()
	if answer := g.get("api.example", "/", "X-API-Key: "+own); status(answer) != "200" {
		t.Fatal(answer)
	}
	if r := g.backend.last(t); g.verified(r).Tenant.String() != "acme-pets" || r.Header.Get("X-API-Key") != "" {
		t.Errorf("the backend got %v", r.Header)
	}
	unregistered, _ := auth.NewAPIKey()
	for name, test := range map[string]struct{ host, key string }{
		"a foreign key":     {"acme-pets.pets.test", foreign},
		"a key for nobody":  {"nobody.pets.test", own},
		"no key":            {"api.example", ""},
		"a key that is not": {"api.example", unregistered},
		"two keys":          {"api.example", own + "\r\nX-API-Key: " + own},
	} {
		t.Run(name, func(t *testing.T) {
			unknown := g.get("nobody.pets.test", "/", "X-API-Key: "+test.key)
			if answer := g.get(test.host, "/", "X-API-Key: "+test.key); answer != unknown || status(answer)[0] != '4' {
				t.Errorf("got\n%s\nwant\n%s", answer, unknown)
			}
		})
	}
	if answer := g.get("acme-pets.pets.test", "/", "X-API-Key: "+unregistered); status(answer) != "401" {
		t.Errorf("a bad key where the host names the tenant: %s", answer)
	}
	g.backend.none(t)
	eventually(t, "the conflict is in the audit file", func() bool {
		b, _ := os.ReadFile(filepath.Join(g.dir, "audit.jsonl"))
		return strings.Contains(string(b), `"claimed":["host=acme-pets","key=fluffy-friends"]`)
	})
	for site, want := range map[string]string{
		"tenant key\nrespond x":      "no 'tenant_auth' has api_keys",
		"tenant key key\nrespond x":  "wrong argument count",
		"tenant {\nkey\nkey\n}":      "key: given twice",
		"tenant colour\nrespond x\n": "expected header, host, key or path",
	} {
		if err := g.load(keyOptions, site); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %q", site, err, want)
		}
	}
}

// Telling them would need a timing that hides for whom an issuer's keys are at hand.
func TestASuspendedTenantsUsersOfItsOwnIssuerAreToldNothing(t *testing.T) {
	g := newKeyGateway(t, keySite)
	own := newIssuer(t, "own")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"keys":[` + own.jwk + `]}`))
	}))
	t.Cleanup(server.Close)
	g.exec("UPDATE tenants SET issuer = 'https://sleepy.example', jwks = ?, status = 'active' WHERE slug = 'sleepy-idp'", server.URL)
	token := own.token(t, jwt.MapClaims{"iss": "https://sleepy.example", "tenant": nil})
	eventually(t, "the issuer is in use", func() bool { return status(g.get("sleepy-idp.pets.test", "/", token)) == "200" })
	g.exec("UPDATE tenants SET status = 'suspended' WHERE slug = 'sleepy-idp'")
	unknown := g.get("nobody.pets.test", "/", token)
	eventually(t, "the user is told what anybody is told", func() bool { return g.get("sleepy-idp.pets.test", "/", token) == unknown })
}
