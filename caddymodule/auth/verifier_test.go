package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// now is the time at which the tests verify.
var now = time.Unix(1_800_000_000, 0)

const nowSec = 1_800_000_000

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// sign makes a compact JWS of texts as they are.
func sign(t testing.TB, alg, header, payload string, key any) string {
	t.Helper()
	text := b64(header) + "." + b64(payload)
	sig, err := jwt.GetSigningMethod(alg).Sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

var (
	edKey  = ed25519.NewKeyFromSeed([]byte("a seed of thirty-two bytes, fixed"[:32]))
	ecKey  = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	ecKey2 = must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	rsaKey = must(rsa.GenerateKey(rand.Reader, 2048))
	secret = []byte("q7Jw-Zt2LkXv9RmBsY4hNcPd0GfUaE8iToV3xK_5yWrQ1zMlDbF6uHgCjSpOeInA")
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func publicKey(t testing.TB, id string, material any) *Key {
	t.Helper()
	k, err := newKey(id, "", material)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func setOf(t testing.TB, keys ...*Key) *KeySet {
	t.Helper()
	set, err := NewKeySet(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func edSet(t testing.TB) *KeySet { return setOf(t, publicKey(t, "ed", edKey.Public())) }

func verifierOf(t testing.TB, o Options) *Verifier {
	t.Helper()
	if o.Keys == nil {
		o.Keys = Fixed(edSet(t))
	}
	v, err := NewVerifier(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const edHeader = `{"alg":"EdDSA","kid":"ed"}`

// claims returns a claims set that is good, with more members.
func claims(more string) string {
	return fmt.Sprintf(`{"exp":%d,"sub":"ann","tenant":"acme-pets"%s}`, nowSec+600, more)
}

func signed(t testing.TB, payload string) string {
	t.Helper()
	return sign(t, "EdDSA", edHeader, payload, edKey)
}

func TestAGoodTokenSaysWhoTheCallerIs(t *testing.T) {
	v := verifierOf(t, Options{Issuer: "https://id.example", Audience: "petstore"})
	token := sign(t, "EdDSA", `{"alg":"EdDSA","kid":"ed","typ":"at+JWT"}`, fmt.Sprintf(
		`{"iss":"https://id.example","aud":["other","petstore"],"exp":%d,"nbf":%d,"iat":%d,"sub":"ann","jti":"t1","tenant":["acme-pets","fluffy-friends"],"roles":["admin","pets:write"]}`,
		nowSec+60, nowSec-60, nowSec-60), edKey)
	p, err := v.Verify(t.Context(), token, now)
	if err != nil {
		t.Fatal(err)
	}
	want := Principal{
		Subject: "ann", Issuer: "https://id.example", TokenID: "t1",
		Tenants: []tenant.Slug{tenant.MustSlug("acme-pets"), tenant.MustSlug("fluffy-friends")},
		Roles:   []string{"admin", "pets:write"},
		Expires: now.Add(time.Minute), NotBefore: now.Add(-time.Minute), IssuedAt: now.Add(-time.Minute),
	}
	if fmt.Sprint(p) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}
	if !p.BelongsTo(tenant.MustSlug("acme-pets")) || p.BelongsTo(tenant.MustSlug("globex")) || p.BelongsTo(tenant.Slug{}) {
		t.Error("BelongsTo is wrong")
	}
}

func TestHeadersThatAreNotBelievedAreRefused(t *testing.T) {
	v := verifierOf(t, Options{})
	for header, want := range map[string]string{
		edHeader: "", `{"alg":"EdDSA"}`: "", `{"alg":"EdDSA","kid":"ed","typ":"JWT","x5t":"abc"}`: "", `{"typ":"application/at+jwt","alg":"EdDSA"}`: "",
		`{"alg":"none","kid":"ed"}`: reasonAlgorithm, `{"alg":"None"}`: reasonAlgorithm, `{"alg":"nOnE"}`: reasonAlgorithm, `{"alg":""}`: reasonHeader, `{}`: reasonAlgorithm,
		`{"alg":"eddsa"}`: reasonAlgorithm, `{"alg":"ES256","kid":"ed"}`: reasonAlgorithm, `{"alg":"HS256","kid":"ed"}`: reasonAlgorithm, `{"alg":"RS256","kid":"ed"}`: reasonAlgorithm,
		`{"alg":["EdDSA"]}`: reasonHeader, `{"alg":null}`: reasonHeader, `{"alg":"none","alg":"EdDSA"}`: reasonHeader, `{"ALG":"none","alg":"EdDSA"}`: reasonHeader,
		`{"alg":"EdDSA","crit":[]}`: reasonHeader, `{"alg":"EdDSA","crit":["exp"],"exp":1}`: reasonHeader, `{"alg":"EdDSA","b64":false}`: reasonHeader,
		`{"alg":"EdDSA","jku":"https://evil.example/jwks"}`: reasonHeader, `{"alg":"EdDSA","x5u":"https://evil.example"}`: reasonHeader,
		`{"alg":"EdDSA","jwk":{"kty":"OKP"}}`: reasonHeader, `{"alg":"EdDSA","x5c":["x"]}`: reasonHeader, `{"alg":"EdDSA","zip":"DEF"}`: reasonHeader,
		`{"alg":"EdDSA","typ":"dpop+jwt"}`: reasonHeader, `{"alg":"EdDSA","typ":"tenant-identity+jwt"}`: reasonHeader, `{"alg":"EdDSA","typ":1}`: reasonHeader,
		`{"alg":"EdDSA","kid":"../../ed"}`: reasonKey, `{"alg":"EdDSA","kid":"ed' OR '1'='1"}`: reasonKey, `{"alg":"EdDSA","kid":"https://evil.example/"}`: reasonKey,
		`{"alg":"EdDSA","kid":"` + strings.Repeat("k", 5000) + `"}`: reasonHeader, `{"alg":"EdDSA","kid":1}`: reasonHeader, `{"alg":"EdDSA","kid":"ed\u0000"}`: reasonHeader,
		`[]`: reasonHeader, `null`: reasonHeader, `x`: reasonHeader,
	} {
		t.Run(fmt.Sprintf("%.60s", header), func(t *testing.T) {
			token := sign(t, "EdDSA", header, claims(""), edKey)
			if _, err := v.Verify(t.Context(), token, now); Reason(err) != want {
				t.Errorf("got %v, want reason %q", err, want)
			}
		})
	}
}

func TestTokensOfAnotherFormAreRefused(t *testing.T) {
	v := verifierOf(t, Options{})
	good := signed(t, claims(""))
	part := strings.Split(good, ".")
	for name, token := range map[string]string{
		"empty": "", "dots": "..", "one part": part[0], "two parts": part[0] + "." + part[1], "four parts": good + "." + part[2], "trailing dot": good + ".",
		"no signature": part[0] + "." + part[1] + ".", "no payload": part[0] + ".." + part[2], "no header": "." + part[1] + "." + part[2],
		"padding": part[0] + "=." + part[1] + "." + part[2], "line feed": part[0] + "\n." + part[1] + "." + part[2], "line feed in signature": good[:len(good)-4] + "\n" + good[len(good)-4:],
		"line feed in payload": part[0] + "." + part[1][:4] + "\r\n" + part[1][4:] + "." + part[2],
		"standard alphabet":    part[0] + "." + part[1] + "." + strings.NewReplacer("-", "+", "_", "/").Replace(part[2]) + "+",
		"leading space":        " " + good, "trailing space": good + " ", "JSON serialisation": `{"payload":"` + part[1] + `","signatures":[]}`,
		"bits left over": good[:len(good)-1] + string(good[len(good)-1]+1),
		"null byte":      good + "\x00", "too long": good + strings.Repeat("A", 8192),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := v.Verify(t.Context(), token, now); !errors.Is(err, ErrBadToken) {
				t.Errorf("got %v, want a bad token", err)
			}
		})
	}
}

func TestAKeyIsUsedWithTheAlgorithmsOfItsTypeOnly(t *testing.T) {
	type pair struct {
		private, public any
		algs            []string
	}
	pairs := []pair{
		{rsaKey, rsaKey.Public(), []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}},
		{ecKey, ecKey.Public(), []string{"ES256"}},
		{ecKey2, ecKey2.Public(), []string{"ES384"}},
		{edKey, edKey.Public(), []string{"EdDSA"}},
		{secret, secret, []string{"HS256", "HS384", "HS512"}},
	}
	for i, signer := range pairs {
		for _, alg := range signer.algs {
			token := sign(t, alg, `{"alg":"`+alg+`","kid":"k"}`, claims(""), signer.private)
			for j, holder := range pairs {
				v := verifierOf(t, Options{Keys: Fixed(setOf(t, publicKey(t, "k", holder.public)))})
				_, err := v.Verify(t.Context(), token, now)
				if i == j && err != nil || i != j && Reason(err) != reasonAlgorithm {
					t.Errorf("%s against %T: %v", alg, holder.public, err)
				}
			}
			v := verifierOf(t, Options{Keys: Fixed(setOf(t, publicKey(t, "k", signer.public))), Algorithms: []string{"ES512"}})
			if _, err := v.Verify(t.Context(), token, now); Reason(err) != reasonAlgorithm {
				t.Errorf("%s passes where only ES512 is allowed: %v", alg, err)
			}
		}
	}
}

// The classic confusion: the verifier's public key, which everybody has, used
// as an HMAC secret.
func TestAPublicKeyIsNoSharedSecret(t *testing.T) {
	der := must(x509.MarshalPKIXPublicKey(rsaKey.Public()))
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	set, err := ParsePEM(text)
	if err != nil {
		t.Fatal(err)
	}
	v := verifierOf(t, Options{Keys: Fixed(set)})
	for _, secret := range [][]byte{text, der, []byte(strings.TrimSpace(string(text)))} {
		if _, err := v.Verify(t.Context(), sign(t, "HS256", `{"alg":"HS256"}`, claims(""), secret), now); Reason(err) != reasonKey {
			t.Errorf("got %v, want a refusal", err)
		}
	}
	if _, err := v.Verify(t.Context(), sign(t, "RS256", `{"alg":"RS256","kid":"whatever"}`, claims(""), rsaKey), now); err != nil {
		t.Errorf("the real signature: %v", err)
	}
}

func TestWithoutAKeyIDTheKeyMustBeTheOnlyOneThatFits(t *testing.T) {
	other := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	two := Fixed(setOf(t, publicKey(t, "a", ecKey.Public()), publicKey(t, "b", other.Public()), publicKey(t, "c", edKey.Public())))
	v := verifierOf(t, Options{Keys: two})
	if _, err := v.Verify(t.Context(), sign(t, "ES256", `{"alg":"ES256"}`, claims(""), ecKey), now); Reason(err) != reasonKey {
		t.Errorf("two keys would fit: %v", err)
	}
	if _, err := v.Verify(t.Context(), sign(t, "EdDSA", `{"alg":"EdDSA"}`, claims(""), edKey), now); err != nil {
		t.Errorf("one key fits: %v", err)
	}
	if _, err := v.Verify(t.Context(), sign(t, "ES256", `{"alg":"ES256","kid":"b"}`, claims(""), ecKey), now); Reason(err) != reasonSignature {
		t.Errorf("the other key is named: %v", err)
	}
}

func TestErrorsHoldNothingOfTheToken(t *testing.T) {
	v := verifierOf(t, Options{})
	for _, payload := range []string{`{"exp":1,"SECRET":1}`, claims(`,"nbf":"SECRET"`), `{"exp":1800000600,"tenant":"SECRET"}`, `{"SECRET":1,"SECRET":2}`} {
		_, err := v.Verify(t.Context(), signed(t, payload), now)
		if err == nil || strings.Contains(strings.ToLower(err.Error()), "secret") && !strings.Contains(payload, `"SECRET":2`) {
			t.Errorf("%s: %v", payload, err)
		}
	}
}

func TestAVerifierRefusesToBeMadeWrong(t *testing.T) {
	for name, o := range map[string]Options{
		"no keys": {}, "none": {Keys: Fixed(edSet(t)), Algorithms: []string{"none"}}, "typo": {Keys: Fixed(edSet(t)), Algorithms: []string{"es256"}},
		"reserved claim": {Keys: Fixed(edSet(t)), TenantClaim: "iss"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := NewVerifier(o); err == nil {
				t.Error("made")
			}
		})
	}
}

func TestVerifyIsSafeForConcurrentUse(t *testing.T) {
	src := &switchable{}
	src.set.Store(edSet(t))
	v := verifierOf(t, Options{Keys: src, CacheSize: 64, Denied: new(denied)})
	var tokens []string
	for i := range 200 {
		tokens = append(tokens, signed(t, claims(fmt.Sprintf(`,"jti":"%d"`, i))))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i, token := range tokens {
				p, err := v.Verify(t.Context(), token, now)
				if err != nil || p.TokenID != fmt.Sprint(i) {
					t.Errorf("token %d: %q, %v", i, p.TokenID, err)
				}
				if i%50 == 0 {
					src.set.Store(edSet(t))
				}
			}
		})
	}
	wg.Wait()
}

func FuzzVerifyAcceptsOnlyWhatIsSignedAndInTime(f *testing.F) {
	v := verifierOf(f, Options{})
	for _, s := range []string{claims(""), claims(`,"roles":["x"]`), `{"exp":1e3}`, `{"exp":1800000600,"tenant":["a","b"]}`, `{"exp":1800000600,"tenant":"a","Tenant":"b"}`} {
		f.Add(edHeader, s)
	}
	f.Add(`{"alg":"none"}`, claims(""))
	f.Fuzz(func(t *testing.T, header, payload string) {
		p, err := v.Verify(t.Context(), sign(t, "EdDSA", header, payload, edKey), now)
		if err != nil {
			if !errors.Is(err, ErrBadToken) {
				t.Errorf("an error of another kind: %v", err)
			}
			return
		}
		// A plain reading must find the same.
		var m map[string]any
		if err := json.Unmarshal([]byte(payload), &m); err != nil {
			t.Fatal(err)
		}
		if exp, ok := m["exp"].(float64); !ok || exp <= nowSec-30 {
			t.Errorf("accepted with exp %v", m["exp"])
		}
		if iat, ok := m["iat"].(float64); ok && iat > nowSec+30 {
			t.Errorf("accepted with iat %v", iat)
		}
		names, _ := m["tenant"].([]any)
		if s, ok := m["tenant"].(string); ok {
			names = []any{s}
		}
		if fmt.Sprint(names) != fmt.Sprint(p.Tenants) {
			t.Errorf("tenants %v of %s", p.Tenants, payload)
		}
	})
}

func BenchmarkVerifyCached(b *testing.B) {
	v := verifierOf(b, Options{})
	token := signed(b, claims(`,"roles":["admin"]`))
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(ctx, token, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyFirstTime(b *testing.B) {
	for _, c := range []struct {
		alg          string
		private, pub any
	}{{"EdDSA", edKey, edKey.Public()}, {"ES256", ecKey, ecKey.Public()}, {"RS256", rsaKey, rsaKey.Public()}, {"HS256", secret, secret}} {
		b.Run(c.alg, func(b *testing.B) {
			v := verifierOf(b, Options{Keys: Fixed(setOf(b, publicKey(b, "k", c.pub))), CacheSize: -1})
			token := sign(b, c.alg, `{"alg":"`+c.alg+`","kid":"k"}`, claims(""), c.private)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), token, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
