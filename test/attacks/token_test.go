package attacks

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// issuer signs what a test wants.
type issuer struct {
	key ed25519.PrivateKey
	kid string
}

func newIssuer(seed byte, kid string) issuer {
	return issuer{ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune('a'+seed)), ed25519.SeedSize))), kid}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (i issuer) jwk() string {
	return `{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"` + i.kid + `","x":"` + b64(i.key.Public().(ed25519.PublicKey)) + `"}`
}

func jwks(issuers ...issuer) string {
	var keys []string
	for _, i := range issuers {
		keys = append(keys, i.jwk())
	}
	return `{"keys":[` + strings.Join(keys, ",") + `]}`
}

func (i issuer) header() string { return `{"alg":"EdDSA","kid":"` + i.kid + `"}` }

func (i issuer) sign(header, payload string) string {
	text := b64([]byte(header)) + "." + b64([]byte(payload))
	return text + "." + b64(ed25519.Sign(i.key, []byte(text)))
}

// claims is a good claims set for a tenant, as JSON, with more members.
func claims(tenantJSON, more string) string {
	return fmt.Sprintf(`{"iss":"issuer","aud":"petstore","sub":"mallory","exp":%d,"tenant":%s%s}`, time.Now().Unix()+600, tenantJSON, more)
}

func (i issuer) token(tenants string) string { return i.sign(i.header(), claims(tenants, "")) }

// shippedAuth is the block in the repository's Caddyfile.
var shippedAuth = regexp.MustCompile(`(?s)\ttenant_auth \{.*?\n\t\}\n`)

// withAuth puts another tenant_auth in, with keys from a file.
func withAuth(t testing.TB) func(string) string {
	return func(text string) string {
		text = shippedAuth.ReplaceAllString(text, "")
		return replace(t, "\ttenant host petstore.localhost\n", `	tenant host petstore.localhost
	tenant_auth {
		key_file keys.json
		issuer issuer
		audience petstore
	}
`)(roomy(t)(text))
	}
}

// newAuthTarget starts a gateway that believes the issuer. The harness's own
// request needs no token: the path it asks for is left open.
func newAuthTarget(t testing.TB, issuers ...issuer) *target {
	t.Helper()
	g := newTarget(t, func(text string) string {
		path := filepath.Join(t.TempDir(), "keys.json")
		writeFile(t, path, jwks(issuers...))
		text = withAuth(t)(text)
		text = replace(t, "tenant_auth {", "@closed not path /api/pets\n\ttenant_auth @closed {", "key_file keys.json", "key_file "+path)(text)
		return text
	})
	g.refusal = g.send("nobody.petstore.localhost", get("/", "Host: nobody.petstore.localhost", bearer(issuers[0].token(`"`+acme+`"`))))
	if statusOf(g.refusal) != "404" {
		t.Fatalf("a token for nobody gets %q, want 404", g.refusal)
	}
	g.rec.Reset()
	return g
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	err := os.WriteFile(path+".new", []byte(text), 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func bearer(token string) string { return "Authorization: Bearer " + token }

// unauthorized asserts a 401 and that the backend saw nothing.
func (g *target) unauthorized(name, answer string) {
	g.t.Helper()
	if s := statusOf(answer); s != "401" && s != "400" && s != "431" || s == "401" && !strings.HasPrefix(fieldOf(answer, "WWW-Authenticate"), "Bearer") {
		g.t.Errorf("%.200s: answered %.300q, want 401 with a challenge", name, answer)
	}
	g.nothing(name)
}

func TestOnlyAGoodTokenOfTheTenantPasses(t *testing.T) {
	me, other := newIssuer(0, "good"), newIssuer(1, "good")
	g := newAuthTarget(t, me)
	send := func(lines ...string) string {
		return g.send(acmeHost, get("/x", append([]string{hostLine}, lines...)...))
	}
	good := me.token(`"` + acme + `"`)
	for name, token := range map[string]string{
		"one tenant": good, "a list": me.token(`["globex","` + acme + `"]`), "typ": me.sign(`{"alg":"EdDSA","kid":"good","typ":"at+jwt"}`, claims(`"`+acme+`"`, "")),
	} {
		if r := g.served(name, send(bearer(token)), acme); r == nil {
			t.Fatalf("%s: a good token is refused", name)
		}
	}
	part := strings.Split(good, ".")
	mac := hmac.New(sha256.New, me.key.Public().(ed25519.PublicKey))
	hsText := b64([]byte(`{"alg":"HS256","kid":"good"}`)) + "." + part[1]
	mac.Write([]byte(hsText))
	for name, token := range map[string]string{
		"none": b64([]byte(`{"alg":"none"}`)) + "." + part[1] + ".", "NoNe": b64([]byte(`{"alg":"NoNe","kid":"good"}`)) + "." + part[1] + "." + part[2], "empty signature": part[0] + "." + part[1] + ".", "HS256 with the public key": hsText + "." + b64(mac.Sum(nil)),
		"another key of the same id": other.token(`"` + acme + `"`), "algorithm of another type": me.sign(`{"alg":"ES256","kid":"good"}`, claims(`"`+acme+`"`, "")),
		"payload of another": part[0] + "." + b64([]byte(claims(`"`+acme+`"`, `,"roles":["admin"]`))) + "." + part[2], "padding": part[0] + "=." + part[1] + "." + part[2], "short": "x", "dots": "..", "long": good + strings.Repeat("A", 9000),
		"identity of the gateway": me.sign(`{"alg":"EdDSA","kid":"good","typ":"tenant-identity+jwt"}`, claims(`"`+acme+`"`, "")),
	} {
		g.unauthorized(name, send(bearer(token)))
	}
	for _, header := range []string{
		`{"alg":"EdDSA","kid":"../../../keys.json"}`, `{"alg":"EdDSA","kid":"good' OR 1=1 --"}`, `{"alg":"EdDSA","kid":"http://evil.example/"}`, `{"alg":"EdDSA","kid":"` + strings.Repeat("k", 5000) + `"}`,
		`{"alg":"EdDSA","kid":"good","jku":"http://evil.example/"}`, `{"alg":"EdDSA","kid":"good","x5u":"http://evil.example/"}`, `{"alg":"EdDSA","kid":"good","jwk":` + other.jwk() + `}`, `{"alg":"EdDSA","kid":"good","crit":["x"],"x":1}`, `{"alg":"EdDSA","kid":"good","alg":"EdDSA"}`,
	} {
		g.unauthorized(header, send(bearer(me.sign(header, claims(`"`+acme+`"`, "")))))
	}
	for _, payload := range []string{
		strings.Replace(claims(`"`+acme+`"`, ""), `"exp"`, `"expires"`, 1), claims(`"`+acme+`"`, `,"exp":99999999999`), `{"iss":"issuer","aud":"petstore","exp":1,"tenant":"` + acme + `"}`, `{"iss":"issuer","aud":"petstore","exp":"9999999999","tenant":"` + acme + `"}`,
		`{"iss":"issuer","aud":"petstore","exp":9999999999.5,"tenant":"` + acme + `"}`, `{"iss":"issuer","aud":"petstore","exp":1e300,"tenant":"` + acme + `"}`, `{"iss":"issuer","aud":"petstore","exp":-5,"tenant":"` + acme + `"}`,
		claims(`"`+acme+`"`, `,"nbf":9999999999`), claims(`"`+acme+`"`, `,"iat":9999999999`), strings.Replace(claims(`"`+acme+`"`, ""), `"issuer"`, `"Issuer"`, 1), strings.Replace(claims(`"`+acme+`"`, ""), `"issuer"`, `["issuer"]`, 1),
		strings.Replace(claims(`"`+acme+`"`, ""), `"petstore"`, `"other"`, 1), strings.Replace(claims(`"`+acme+`"`, ""), `"aud":"petstore",`, "", 1),
		claims("1", ""), claims("null", ""), claims(`{"slug":"`+acme+`"}`, ""), claims(`"ACME-PETS"`, ""), claims(`"аcme-pets"`, ""), claims(`"`+acme+`"`, `,"tenant":"`+fluffy+`"`), claims(`"`+fluffy+`"`, `,"ten\u0061nt":"`+acme+`"`), claims(`"`+acme+`"`, `,"TENANT":"`+fluffy+`"`), "[]", "null", "x",
	} {
		g.unauthorized(payload, send(bearer(me.sign(me.header(), payload))))
	}
	for name, lines := range map[string][]string{
		"no token": {}, "two headers": {bearer(good), bearer(good)}, "odd case": {"Authorization: bEaReR " + good}, "a list": {bearer(good) + ", Bearer " + good}, "in a cookie": {"Cookie: access_token=" + good}, "another scheme": {"Authorization: Basic " + good},
		"1 MB": {bearer(strings.Repeat("a", 1<<20))}, "underscore": {"Author_ization: Bearer " + good}, "in X-API-Key": {"X-API-Key: " + good},
	} {
		g.unauthorized(name, send(lines...))
	}
	g.unauthorized("in the query", g.send(acmeHost, get("/x?access_token="+good, hostLine)))
	g.unauthorized("in the query beside a header", g.send(acmeHost, get("/x?access_token="+good, hostLine, bearer(good))))
}

func TestATokenOfAnotherTenantIsTheCommonRefusalAndOneRecord(t *testing.T) {
	me := newIssuer(0, "good")
	g := newAuthTarget(t, me)
	foreign := me.token(`"` + fluffy + `"`)
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "DELETE"} {
		answer := g.send(acmeHost, request(method, "/x", hostLine, bearer(foreign)))
		unknown := g.send("nobody.petstore.localhost", request(method, "/x", "Host: nobody.petstore.localhost", bearer(foreign)))
		if statusOf(answer) != "404" || answer != unknown {
			t.Errorf("%s: a foreign token gets\n%s\nan unknown tenant\n%s", method, answer, unknown)
		}
		g.nothing(method)
	}
	// The recorder counts what one client repeats.
	attempts := func() (n int64) {
		for line := range strings.Lines(g.audit()) {
			var rec struct {
				Type, Tenant, User string
				UserTenant         string `json:"user_tenant"`
				Count              int64
			}
			if err := json.Unmarshal([]byte(line), &rec); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if rec.Type != "cross_tenant_access_attempt" || rec.Tenant != acme || rec.UserTenant != fluffy || rec.User != "mallory" {
				t.Errorf("a record of another kind: %s", line)
			}
			n += rec.Count
		}
		return n
	}
	harness.Eventually(t, patience, "five attempts in the audit trail", func() bool { return attempts() == 5 })
}

func TestARemovedKeyStopsAndAnAddedOneStarts(t *testing.T) {
	one, two := newIssuer(0, "one"), newIssuer(1, "two")
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.json")
	writeFile(t, path, jwks(one))
	g := newTarget(t, func(text string) string {
		return replace(t, "tenant_auth {", "@closed not path /api/pets\n\ttenant_auth @closed {", "key_file keys.json", "key_file "+path)(withAuth(t)(text))
	})
	passes := func(i issuer) bool {
		return statusOf(g.send(acmeHost, get("/x", hostLine, bearer(i.token(`"`+acme+`"`))))) == "200"
	}
	if !passes(one) || passes(two) {
		t.Fatal("at the start: want the first key to pass and the second not to")
	}
	writeFile(t, path, jwks(two))
	harness.Eventually(t, patience, "the first key to stop and the second to start", func() bool { return !passes(one) && passes(two) })
	writeFile(t, path, "garbage")
	if !passes(two) {
		t.Error("garbage in the file ended the last good key")
	}
}

func decode(t testing.TB, segment string) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
