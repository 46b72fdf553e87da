package caddymodule_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A tenant's record must not send the gateway to itself or its neighbours.
func TestATenantsKeysAreFetchedOnlyWhereRecordsMayLead(t *testing.T) {
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	t.Cleanup(server.Close)
	port := server.URL[strings.LastIndexByte(server.URL, ':'):]
	for name, url := range map[string]string{
		"loopback": server.URL, "its name": "https://localhost" + port, "IPv6": "https://[::1]" + port,
		"metadata": "https://169.254.169.254/x", "a mapped address": "https://[::ffff:127.0.0.1]" + port, "its name in capitals": "https://LOCALHOST." + port,
	} {
		t.Run(name, func(t *testing.T) {
			g := newKeyGateway(t, keySite)
			if err := g.load(strings.Replace(keyOptions, "allow_dial 127.0.0.1", "", 1), keySite); err != nil {
				t.Fatal(err)
			}
			g.exec("UPDATE tenants SET issuer = 'https://idp.example', jwks = ? WHERE slug = 'own-idp'", url)
			eventually(t, "the tenant is closed", func() bool { return status(g.get("own-idp.pets.test", "/")) == "503" })
			if asked {
				t.Error("the address was asked")
			}
		})
	}
}

func TestATokensLifeIsBounded(t *testing.T) {
	g, i := newAuthGateway(t, authSite)
	token := func(d time.Duration) string {
		return i.token(t, jwt.MapClaims{"iat": time.Now().Unix(), "exp": time.Now().Add(d).Unix()})
	}
	ask := func(d time.Duration) string { return status(g.get("acme-pets.pets.test", "/", token(d))) }
	if ask(23*time.Hour) != "200" || ask(25*time.Hour) != "401" || ask(10*365*24*time.Hour) != "401" {
		t.Error("the default is not 24h")
	}
	if err := g.load(strings.Replace(appOptions, "5/1h", "1000/1h", 1), strings.Replace(authSite, "audience pets", "audience pets\nmax_lifetime 30d", 1)); err != nil {
		t.Fatal(err)
	}
	if ask(29*24*time.Hour) != "200" || ask(31*24*time.Hour) != "401" {
		t.Error("max_lifetime 30d is not what counts")
	}
}

// What a placeholder stands for is meant, never its text: a token whose issuer is the
// placeholder would pass.
func TestPlaceholdersInTenantAuthAreReplacedOrNamed(t *testing.T) {
	g, i := newAuthGateway(t, authSite)
	t.Setenv("TEST_ISSUER", "https://issuer.example")
	t.Setenv("TEST_AUDIENCE", "pets")
	options := strings.Replace(appOptions, "5/1h", "1000/1h", 1)
	site := strings.NewReplacer("issuer https://issuer.example", "issuer {env.TEST_ISSUER}", "audience pets", "audience {env.TEST_AUDIENCE}").Replace(authSite)
	if err := g.load(options, site); err != nil {
		t.Fatal(err)
	}
	if answer := g.get("acme-pets.pets.test", "/", i.token(t, nil)); status(answer) != "200" {
		t.Error(answer)
	}
	if answer := g.get("acme-pets.pets.test", "/", i.token(t, jwt.MapClaims{"iss": "{env.TEST_ISSUER}"})); status(answer) != "401" {
		t.Errorf("the placeholder's text as issuer: %s", answer)
	}
	for _, option := range []string{"issuer", "audience", "tenant_claim", "roles_claim"} {
		t.Run(option, func(t *testing.T) {
			bad := strings.Replace(authSite, "audience pets", "", 1)
			bad = strings.Replace(bad, "issuer https://issuer.example", option+" {env.NOT_SET_ANYWHERE}", 1)
			if err := g.load(options, bad); err == nil || !strings.Contains(err.Error(), "NOT_SET_ANYWHERE") || !strings.Contains(err.Error(), option) {
				t.Errorf("got %v", err)
			}
		})
	}
}
