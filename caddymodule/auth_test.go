package caddymodule_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const authSite = `
	tenant host pets.test
	tenant_auth {
		key_file {dir}/issuer.json
		issuer https://issuer.example
		audience pets
	}
	tenant_rate_limit
	tenant_identity
	reverse_proxy {backend}`

// issuer signs tokens whose key the gateway reads from issuer.json.
type issuer struct {
	id      string
	private ed25519.PrivateKey
	jwk     string
}

func newIssuer(t testing.TB, id string) issuer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issuer{id, private, fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q}`, id, base64.RawURLEncoding.EncodeToString(public))}
}

// token returns an Authorization header with a token; claims replace the usual
// ones, and nil removes.
func (i issuer) token(t testing.TB, claims jwt.MapClaims) string {
	t.Helper()
	all := jwt.MapClaims{
		"iss": "https://issuer.example", "aud": "pets", "sub": "ann", "tenant": "acme-pets", "roles": []string{"admin"},
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, all)
	token.Header["kid"] = i.id
	text, err := token.SignedString(i.private)
	if err != nil {
		t.Fatal(err)
	}
	return "Authorization: Bearer " + text
}

func newAuthGateway(t testing.TB, site string) (*gateway, issuer) {
	t.Helper()
	g := newGateway(t, strings.Replace(appOptions, "5/1h", "1000/1h", 1), "respond starting")
	i := newIssuer(t, "k1")
	g.write("issuer.json", `{"keys":[`+i.jwk+`]}`)
	if err := g.load(strings.Replace(appOptions, "5/1h", "1000/1h", 1), site); err != nil {
		t.Fatal(err)
	}
	return g, i
}

func TestATokenOfTheTenantPassesAndTheBackendLearnsTheUser(t *testing.T) {
	g, i := newAuthGateway(t, authSite+"\nheader X-User {tenant.user.id}/{tenant.user.roles}")
	for _, tenants := range []any{"acme-pets", []string{"acme-pets"}, []string{"fluffy-friends", "acme-pets"}} {
		answer := g.get("acme-pets.pets.test", "/", i.token(t, jwt.MapClaims{"tenant": tenants}))
		if status(answer) != "200" || field(answer, "X-User") != "ann/admin" {
			t.Fatalf("tenant %v: %s", tenants, answer)
		}
		claims := g.verified(g.backend.last(t))
		if claims.Tenant.String() != "acme-pets" || claims.User != "ann" || len(claims.Roles) != 1 || claims.Roles[0] != "admin" {
			t.Errorf("tenant %v: identity %+v", tenants, claims)
		}
	}
}

func TestWithoutAGoodTokenTheAnswerIs401(t *testing.T) {
	g, i := newAuthGateway(t, authSite)
	stranger := newIssuer(t, "k1")
	good := i.token(t, nil)
	for name, headers := range map[string][]string{
		"no token":           nil,
		"another key":        {stranger.token(t, nil)},
		"expired":            {i.token(t, jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()})},
		"no expiry":          {i.token(t, jwt.MapClaims{"exp": nil})},
		"another issuer":     {i.token(t, jwt.MapClaims{"iss": "https://evil.example"})},
		"another audience":   {i.token(t, jwt.MapClaims{"aud": "cats"})},
		"no tenant":          {i.token(t, jwt.MapClaims{"tenant": nil})},
		"tenant is a number": {i.token(t, jwt.MapClaims{"tenant": 1})},
		"two headers":        {good, good},
		"another scheme":     {"Authorization: Basic eDp5"},
	} {
		answer := g.get("acme-pets.pets.test", "/", headers...)
		want := `Bearer error="invalid_token"`
		if name == "no token" || name == "another scheme" {
			want = "Bearer"
		}
		if status(answer) != "401" || field(answer, "Www-Authenticate") != want || field(answer, "X-RateLimit-Limit") != "" {
			t.Errorf("%s: %s", name, answer)
		}
	}
	if answer := g.get("acme-pets.pets.test", "/?access_token=x", good); status(answer) != "401" {
		t.Errorf("token in the query: %s", answer)
	}
	g.backend.none(t)
}

func TestOptionalLetsNobodyPassButNoBadToken(t *testing.T) {
	g, i := newAuthGateway(t, strings.Replace(authSite, "audience pets", "audience pets\noptional", 1))
	if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "200" {
		t.Fatal(answer)
	}
	if claims := g.verified(g.backend.last(t)); claims.User != "" || claims.Roles != nil {
		t.Errorf("nobody is %+v", claims)
	}
	if answer := g.get("acme-pets.pets.test", "/", i.token(t, jwt.MapClaims{"aud": "cats"})); status(answer) != "401" {
		t.Error(answer)
	}
	g.backend.none(t)
}

func TestAForeignTokenLooksLikeAnUnknownTenantAndIsAuditedOnce(t *testing.T) {
	g, i := newAuthGateway(t, authSite)
	fluffy := i.token(t, jwt.MapClaims{"tenant": "fluffy-friends", "sub": "mallory"})
	unknown := g.get("nobody.pets.test", "/", fluffy)
	if status(unknown) != "404" {
		t.Fatal(unknown)
	}
	if answer := g.get("acme-pets.pets.test", "/api/pets", fluffy); answer != unknown {
		t.Errorf("got\n%s\nwant\n%s", answer, unknown)
	}
	g.backend.none(t)
	var file []byte
	eventually(t, "the attempt is in the audit file", func() bool {
		file, _ = os.ReadFile(filepath.Join(g.dir, "audit.jsonl"))
		return strings.Contains(string(file), "cross_tenant_access_attempt")
	})
	for _, want := range []string{`"user":"mallory"`, `"user_tenant":"fluffy-friends"`, `"tenant":"acme-pets"`, `"path":"/api/pets"`, `"client_ip":"127.0.0.1"`, `"request_id":"`} {
		if strings.Count(string(file), want) != 1 {
			t.Errorf("%s is there %d times: %s", want, strings.Count(string(file), want), file)
		}
	}
	if err := g.load(strings.Replace(appOptions, "5/1h", "1000/1h", 1), strings.Replace(authSite, "audience pets", "audience pets\non_foreign 403", 1)); err != nil {
		t.Fatal(err)
	}
	if answer := g.get("acme-pets.pets.test", "/api/pets", fluffy); status(answer) != "403" {
		t.Error(answer)
	}
}

func TestOnlyMembersOfASuspendedTenantLearnThatItIs(t *testing.T) {
	g, i := newAuthGateway(t, authSite)
	if answer := g.get("sleepy.pets.test", "/", i.token(t, jwt.MapClaims{"tenant": "sleepy"})); status(answer) != "403" || !strings.Contains(answer, "tenant-suspended") {
		t.Error(answer)
	}
	for name, headers := range map[string][]string{
		"nobody": nil, "a member of another": {i.token(t, nil)},
		"an expired member": {i.token(t, jwt.MapClaims{"tenant": "sleepy", "exp": time.Now().Add(-time.Hour).Unix()})},
	} {
		t.Run(name, func(t *testing.T) {
			unknown := g.get("nobody.pets.test", "/", headers...)
			if answer := g.get("sleepy.pets.test", "/", headers...); answer != unknown {
				t.Errorf("got\n%s\nwant\n%s", answer, unknown)
			}
		})
	}
}

func TestAWithdrawnKeyStopsAndAnAddedOneStarts(t *testing.T) {
	g, old := newAuthGateway(t, authSite)
	next := newIssuer(t, "k2")
	oldToken, nextToken := old.token(t, nil), next.token(t, nil)
	if answer := g.get("acme-pets.pets.test", "/", oldToken); status(answer) != "200" {
		t.Fatal(answer)
	}
	g.write("issuer.json", `{"keys":[`+next.jwk+`]}`)
	eventually(t, "the old key's tokens stop and the new one's pass", func() bool {
		return status(g.get("acme-pets.pets.test", "/", oldToken)) == "401" && status(g.get("acme-pets.pets.test", "/", nextToken)) == "200"
	})
	g.write("issuer.json", `{"keys":`)
	if answer := g.get("acme-pets.pets.test", "/", nextToken); status(answer) != "200" {
		t.Errorf("with a key file that can't be read: %s", answer)
	}
}

func TestMistakesInTenantAuthAreNamed(t *testing.T) {
	g := newGateway(t, appOptions, fullSite)
	for _, test := range []struct{ block, want string }{
		{"", "expected exactly one of jwks, key_file and secret"},
		{"jwks https://a.example/x\nsecret y", "expected exactly one of jwks, key_file and secret"},
		{"jwks ftp://a.example/x", "expected https"},
		{"jwks http://a.example/x", "http"},
		{"secret hush-hush", "32 bytes"},
		{"secret {env.NOT_SET_ANYWHERE}", "none of them empty"},
		{"key_file x\nalgorithms none", "none"},
		{"key_file x\ntenant_claim exp", `"exp"`},
		{"key_file x\non_foreign 500", "expected 404 or 403"},
		{"key_file x\nleeway -1s", "leeway"},
		{"key_file x\ncolour red", `unknown option "colour"; expected jwks`},
	} {
		err := g.load(appOptions, "tenant host pets.test\ntenant_auth {\n"+test.block+"\n}\nrespond x")
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q:\n got %v\nwant %q", test.block, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "hush-hush") {
			t.Errorf("the secret is in the error: %v", err)
		}
	}
}
