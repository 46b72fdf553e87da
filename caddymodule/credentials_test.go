package caddymodule_test

import (
	"database/sql"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
)

// keyOptions have the tenants and the credentials in one database.
var keyOptions = strings.NewReplacer("file {dir}/tenants.json", "sqlite {dir}/catalog.db", "5/1h", "1000/1h").Replace(appOptions) +
	"\n\tallow_dial 127.0.0.1" // where the tests have their issuers

const keySite = `
	tenant host pets.test
	tenant_auth {
		key_file {dir}/issuer.json
		issuer https://issuer.example
		audience pets
		api_keys
	}
	tenant_rate_limit
	tenant_identity
	reverse_proxy {backend}`

const catalogTables = `
	CREATE TABLE tenants (id TEXT PRIMARY KEY, slug TEXT, plan TEXT, status TEXT, issuer TEXT NOT NULL DEFAULT '', jwks TEXT NOT NULL DEFAULT '');
	INSERT INTO tenants (id, slug, plan, status) VALUES ('t1', 'acme-pets', 'free', 'active'), ('t2', 'fluffy-friends', 'premium', 'active'),
		('t3', 'sleepy', 'free', 'suspended'), ('t4', 'own-idp', 'free', 'active'), ('t5', 'sleepy-idp', 'free', 'suspended');
	CREATE TABLE api_keys (id TEXT PRIMARY KEY, hash TEXT, slug TEXT, name TEXT, roles TEXT, expires_at BIGINT DEFAULT 0, revoked_at BIGINT DEFAULT 0);
	CREATE TABLE revocations (id INTEGER PRIMARY KEY, kind TEXT, value TEXT, issuer TEXT DEFAULT '', before BIGINT DEFAULT 0);`

// keyGateway is a gateway with a catalog that the test writes to.
type keyGateway struct {
	*gateway
	issuer issuer
	db     *sql.DB
}

func newKeyGateway(t testing.TB, site string) *keyGateway {
	t.Helper()
	g := &keyGateway{gateway: newGateway(t, appOptions, "respond starting"), issuer: newIssuer(t, "k1")}
	g.write("issuer.json", `{"keys":[`+g.issuer.jwk+`]}`)
	var err error
	if g.db, err = sql.Open("sqlite", filepath.Join(g.dir, "catalog.db")+"?_pragma=busy_timeout(10000)"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.db.Close() })
	g.exec(catalogTables)
	if err := g.load(keyOptions, site); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *keyGateway) exec(query string, args ...any) {
	g.t.Helper()
	if _, err := g.db.Exec(query, args...); err != nil {
		g.t.Fatalf("running %q: %v", query, err)
	}
}

// addKey adds a key to the catalog without waiting for the gateway.
func (g *keyGateway) addKey(id, slug, roles string, expires time.Time) string {
	g.t.Helper()
	key, hash := auth.NewAPIKey()
	var end int64
	if !expires.IsZero() {
		end = expires.UnixMicro()
	}
	g.exec("INSERT INTO api_keys (id, hash, slug, name, roles, expires_at) VALUES (?, ?, ?, ?, ?, ?)", id, hex.EncodeToString(hash[:]), slug, "ci", roles, end)
	return key
}

// settled adds one more key of acme-pets and returns it when it opens the
// tenant: all that was written before is in force then.
func (g *keyGateway) settled() string {
	g.t.Helper()
	key := g.addKey(fmt.Sprint("settled-", time.Now().UnixNano()), "acme-pets", "editor admin", time.Time{})
	eventually(g.t, "a new key is in force", func() bool {
		return status(g.get("acme-pets.pets.test", "/", "X-API-Key: "+key)) == "200"
	})
	g.backend.mu.Lock()
	g.backend.seen = nil
	g.backend.mu.Unlock()
	return key
}

func TestAnAPIKeyOpensItsTenantAndStaysInTheGateway(t *testing.T) {
	g := newKeyGateway(t, keySite+"\nheader X-User {tenant.user.id}/{tenant.user.roles}")
	key := g.settled()
	for _, header := range []string{"X-API-Key: " + key, "x-api-key: " + key, "Authorization: Bearer " + key} {
		answer := g.get("acme-pets.pets.test", "/", header)
		if status(answer) != "200" || field(answer, "X-User") != "key:ci/editor,admin" {
			t.Fatalf("%s: %s", header[:12], answer)
		}
		r := g.backend.last(t)
		if claims := g.verified(r); claims.Tenant.String() != "acme-pets" || claims.User != "key:ci" || len(claims.Roles) != 2 {
			t.Errorf("identity %+v", claims)
		}
		for name, values := range r.Header {
			if strings.Contains(strings.Join(values, " "), key[3:]) {
				t.Errorf("the backend got the key in %s", name)
			}
		}
	}
	// Tokens are good beside keys, and reach the backend as they did.
	if answer := g.get("acme-pets.pets.test", "/", g.issuer.token(t, nil)); status(answer) != "200" || g.backend.last(t).Header.Get("Authorization") == "" {
		t.Errorf("a token: %s", answer)
	}
}

func TestAForeignAPIKeyLooksLikeAnUnknownTenantAndIsAudited(t *testing.T) {
	g := newKeyGateway(t, keySite)
	foreign := g.addKey("f", "fluffy-friends", "admin", time.Time{})
	own := g.settled()
	unknown := g.get("nobody.pets.test", "/", "X-API-Key: "+own)
	if status(unknown) != "404" {
		t.Fatal(unknown)
	}
	for _, header := range []string{"X-API-Key: " + foreign, "Authorization: Bearer " + foreign} {
		if answer := g.get("acme-pets.pets.test", "/api/pets", header); answer != unknown {
			t.Errorf("got\n%s\nwant\n%s", answer, unknown)
		}
	}
	if answer := g.get("nobody.pets.test", "/", "X-API-Key: "+own); answer != unknown {
		t.Errorf("a good key for nobody: %s", answer)
	}
	g.backend.none(t)
	var trail string
	eventually(t, "the attempts are in the audit file", func() bool {
		b, _ := os.ReadFile(filepath.Join(g.dir, "audit.jsonl"))
		trail = string(b)
		return strings.Contains(trail, "cross_tenant_access_attempt")
	})
	for _, want := range []string{`"user":"key:ci"`, `"user_tenant":"fluffy-friends"`, `"tenant":"acme-pets"`} {
		if !strings.Contains(trail, want) {
			t.Errorf("the trail has no %s: %s", want, trail)
		}
	}
	if strings.Contains(trail, foreign[3:]) {
		t.Error("the key is in the audit trail")
	}
}

func TestABadAPIKeyNeverPasses(t *testing.T) {
	g := newKeyGateway(t, strings.Replace(keySite, "api_keys", "api_keys\noptional", 1))
	expired := g.addKey("e", "acme-pets", "", time.Now().Add(-time.Second))
	revoked := g.addKey("r", "acme-pets", "", time.Time{})
	badRole := g.addKey("b", "acme-pets", "not/ok,no+role", time.Time{})
	g.exec("UPDATE api_keys SET revoked_at = 1800000000000000 WHERE id = 'r'")
	good := g.settled()
	unknown, _ := auth.NewAPIKey()
	for name, headers := range map[string][]string{
		"unknown":             {"X-API-Key: " + unknown},
		"expired":             {"X-API-Key: " + expired},
		"revoked":             {"X-API-Key: " + revoked},
		"of a wrong record":   {"X-API-Key: " + badRole},
		"cut":                 {"X-API-Key: " + good[:20]},
		"empty":               {"X-API-Key:"},
		"twice":               {"X-API-Key: " + good, "X-API-Key: " + good},
		"with a scheme":       {"X-API-Key: Bearer " + good},
		"beside a token":      {"X-API-Key: " + good, g.issuer.token(t, nil)},
		"both ways":           {"X-API-Key: " + good, "Authorization: Bearer " + good},
		"as another scheme":   {"Authorization: ApiKey " + good},
		"a token as a key":    {"X-API-Key: " + strings.TrimPrefix(g.issuer.token(t, nil), "Authorization: Bearer ")},
		"its hash":            {"X-API-Key: tk_" + strings.Repeat("a", 43)},
		"unknown, as a token": {"Authorization: Bearer " + unknown},
	} {
		if answer := g.get("acme-pets.pets.test", "/", headers...); status(answer) != "401" {
			t.Errorf("%s: %s", name, answer)
		}
	}
	if answer := g.get("acme-pets.pets.test", "/?access_token="+good); status(answer) != "401" {
		t.Errorf("in the query: %s", answer)
	}
	g.backend.none(t)
	if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "200" {
		t.Errorf("nobody, who may pass: %s", answer)
	}
}

func TestWithoutTheOptionKeysAreNothing(t *testing.T) {
	g := newKeyGateway(t, keySite)
	key := g.settled()
	if err := g.load(keyOptions, strings.Replace(keySite, "api_keys", "optional", 1)); err != nil {
		t.Fatal(err)
	}
	if answer := g.get("acme-pets.pets.test", "/", "Authorization: Bearer "+key); status(answer) != "401" {
		t.Error(answer)
	}
	// It may be the backend's own header then.
	if answer := g.get("acme-pets.pets.test", "/", "X-API-Key: "+key); status(answer) != "200" {
		t.Fatal(answer)
	}
	if r := g.backend.last(t); r.Header.Get("X-API-Key") != key || g.verified(r).User != "" {
		t.Errorf("the backend got %v", r.Header)
	}
}

func TestRevocationsAreInForceWithoutAReload(t *testing.T) {
	g := newKeyGateway(t, keySite)
	key := g.settled()
	g.exec("UPDATE api_keys SET revoked_at = 1800000000000000")
	eventually(t, "the key is refused", func() bool { return status(g.get("acme-pets.pets.test", "/", "X-API-Key: "+key)) == "401" })

	issued := time.Now().Add(-time.Minute).Unix()
	token := g.issuer.token(t, jwt.MapClaims{"jti": "j-1", "iat": issued})
	other := g.issuer.token(t, jwt.MapClaims{"jti": "j-2", "iat": issued})
	ask := func(token string) string { return status(g.get("acme-pets.pets.test", "/", token)) }
	if ask(token) != "200" || ask(other) != "200" {
		t.Fatal("the tokens are not good at the start")
	}
	g.exec("INSERT INTO revocations (id, kind, value) VALUES (1, 'token', 'j-1')")
	eventually(t, "the token is refused", func() bool { return ask(token) == "401" })
	if ask(other) != "200" {
		t.Error("another token of the same user is refused")
	}
	g.exec("DELETE FROM revocations")
	eventually(t, "it is taken back", func() bool { return ask(token) == "200" })
	g.exec("INSERT INTO revocations (id, kind, value, before) VALUES (2, 'subject', 'ann', ?)", time.Now().Add(-time.Second).UnixMicro())
	eventually(t, "the user's tokens are refused", func() bool { return ask(token) == "401" && ask(other) == "401" })
	for name, claims := range map[string]jwt.MapClaims{"issued later": {"iat": time.Now().Unix()}, "another user": {"sub": "ben", "iat": issued}} {
		if got := ask(g.issuer.token(t, claims)); got != "200" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := ask(g.issuer.token(t, jwt.MapClaims{"iat": nil})); got != "401" {
		t.Errorf("issued at an unknown time: %s", got)
	}
}

func TestTheLastGoodCredentialsStayOverFailuresAndReloads(t *testing.T) {
	g := newKeyGateway(t, keySite)
	key := g.settled()
	token := g.issuer.token(t, jwt.MapClaims{"jti": "j-1"})
	g.exec("INSERT INTO revocations (id, kind, value) VALUES (1, 'token', 'j-1')")
	g.settled()
	if err := g.db.Close(); err != nil {
		t.Fatal(err)
	}
	g.write("catalog.db", "this is no database")
	for range 3 {
		if err := g.load(keyOptions, keySite); err != nil {
			t.Fatal(err)
		}
		if got := status(g.get("acme-pets.pets.test", "/", "X-API-Key: "+key)); got != "200" {
			t.Errorf("the key: %s", got)
		}
		if got := status(g.get("acme-pets.pets.test", "/", token)); got != "401" {
			t.Errorf("the revoked token: %s", got)
		}
	}
}

func TestUntilRevocationsWereReadTokensGet503(t *testing.T) {
	g := newKeyGateway(t, "respond starting")
	g.exec("INSERT INTO revocations (id, kind, value) VALUES (1, 'what', 'j-1')") // nobody knows what it is to refuse
	if err := g.load(keyOptions, strings.Replace(keySite, "api_keys", "api_keys\noptional", 1)); err != nil {
		t.Fatal(err)
	}
	if answer := g.get("acme-pets.pets.test", "/", g.issuer.token(t, nil)); status(answer) != "503" || field(answer, "Retry-After") == "" {
		t.Error(answer)
	}
	g.backend.none(t)
	if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "200" {
		t.Errorf("nobody, who may pass: %s", answer)
	}
	g.exec("DELETE FROM revocations")
	eventually(t, "tokens are good", func() bool { return status(g.get("acme-pets.pets.test", "/", g.issuer.token(t, nil))) == "200" })
}

func TestAPIKeysAloneNeedNoIssuer(t *testing.T) {
	g := newKeyGateway(t, "tenant host pets.test\ntenant_auth {\napi_keys\n}\nreverse_proxy {backend}")
	g.settled()
	if answer := g.get("acme-pets.pets.test", "/", g.issuer.token(t, nil)); status(answer) != "401" {
		t.Error(answer)
	}
}

func TestOnlyTheKeyOfASuspendedTenantLearnsThatItIs(t *testing.T) {
	g := newKeyGateway(t, keySite)
	member := g.addKey("m", "sleepy", "", time.Time{})
	ended := g.addKey("e", "sleepy", "", time.Now().Add(-time.Second))
	other := g.settled()
	if answer := g.get("sleepy.pets.test", "/", "X-API-Key: "+member); status(answer) != "403" || !strings.Contains(answer, "tenant-suspended") {
		t.Error(answer)
	}
	for name, key := range map[string]string{"another's": other, "an expired one": ended} {
		unknown := g.get("nobody.pets.test", "/", "X-API-Key: "+key)
		if answer := g.get("sleepy.pets.test", "/", "X-API-Key: "+key); answer != unknown {
			t.Errorf("%s: %s", name, answer)
		}
	}
}

func TestAccessLogsCanLeaveAPIKeysOut(t *testing.T) {
	g := newKeyGateway(t, keySite+`
	log {
		output file {dir}/access.log
		format filter {
			request>headers>X-Api-Key delete
		}
	}`)
	key := g.settled()
	g.get("acme-pets.pets.test", "/last", "Authorization: Bearer "+key)
	var text string
	eventually(t, "the requests are in the access log", func() bool {
		b, _ := os.ReadFile(filepath.Join(g.dir, "access.log"))
		text = string(b)
		return strings.Contains(text, "/last")
	})
	if strings.Contains(text, key[3:]) || !strings.Contains(text, `"user_id":"key:ci"`) {
		t.Errorf("the access log: %s", text)
	}
}

func TestMistakesInAPIKeysAreNamed(t *testing.T) {
	g := newKeyGateway(t, keySite)
	for _, test := range []struct{ options, block, want string }{
		{appOptions, "api_keys", `the source of tenants is of type "file"; expected sqlite or postgres`},
		{keyOptions, "api_keys yes", "wrong argument count"},
		{keyOptions, "api_keys\njwks {env.NOT_SET_ANYWHERE}", "none of them empty"},
		{keyOptions, "api_keys\nsecret a\nkey_file b", "expected exactly one of jwks, key_file and secret, or api_keys"},
		{keyOptions, "optional", "or api_keys"},
	} {
		err := g.load(test.options, "tenant host pets.test\ntenant_auth {\n"+test.block+"\n}\nrespond x")
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q:\n got %v\nwant %q", test.block, err, test.want)
		}
	}
}
