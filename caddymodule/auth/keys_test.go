package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

func pemOf(t testing.TB, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pkix(t testing.TB, public any) []byte {
	der, err := x509.MarshalPKIXPublicKey(public)
	return pemOf(t, "PUBLIC KEY", der, err)
}

func TestPEMFilesHoldPublicKeysOnly(t *testing.T) {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, ecKey.Public(), ecKey)
	certPEM := pemOf(t, "CERTIFICATE", cert, err)
	all := bytes.Join([][]byte{pkix(t, edKey.Public()), certPEM, pemOf(t, "RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey), nil)}, []byte("\n"))
	if set, err := ParsePEM(all); err != nil || set.Len() != 3 {
		t.Errorf("three public keys: %v, %v", set, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(edKey)
	private := pemOf(t, "PRIVATE KEY", der, err)
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"nothing":     {nil, "expected PEM blocks"},
		"text":        {[]byte("hello"), "expected PEM blocks"},
		"text behind": {append(pkix(t, edKey.Public()), "x"...), "expected PEM blocks"},
		"private":     {private, "private key"},
		"mixed":       {append(pkix(t, edKey.Public()), private...), "block 2: found a private key"},
		"small RSA":   {pkix(t, small.Public()), "1024 bits"},
		"P-224":       {pkix(t, p224.Public()), "unsupported curve"},
		"garbage":     {pemOf(t, "PUBLIC KEY", []byte("x"), nil), "block 1"},
		"other block": {pemOf(t, "DH PARAMETERS", []byte("x"), nil), "expected PUBLIC KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParsePEM(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v; want %q", err, c.want)
			}
		})
	}
}

func TestSecretsMustBeLongAndRandom(t *testing.T) {
	for _, s := range []string{
		"", "password", strings.Repeat("x", 64), strings.Repeat("abc", 20),
		"0123456789abcdef0123456789abcdef", "abcdefghijklmnopqrstuvwxyz123456", "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345", "zyxwvutsrqponmlkjihgfedcba987654",
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_", "12345678901234567890123456789012",
		"kT9vQx2LkT9vQx2LkT9vQx2LkT9vQx2L", "kT9vQx2LkT9vQx2LkT9vQx2LkT9vQx2M", "Zr4kT9vQx2LmZr4kT9vQx2LmZr4kT9vQ",
		"your-256-bit-secret", "your-256-bit-secret-your-512-bit", "a-string-secret-at-least-256-bits-long", "MySuperSecretKeyForSigningTokens!", "correct-horse-password-battery-staple",
		"changeme-changeit-replace-it-now", "this is only an example, replace it", "qwertyuiopasdfghjklzxcvbnm123456",
		"404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970", "404e635266556a586e3272357538782f413f4428472b4b6250645367566b5970",
		"GQDstcKsx0NHjPOuXOYg5MbeJ1XT0uFiwDVvVBrk",
	} {
		t.Run(s, func(t *testing.T) {
			_, err := Secret([]byte(s))
			if err == nil || !strings.Contains(err.Error(), "expected at least 32 bytes") || s != "" && strings.Contains(err.Error(), s) {
				t.Errorf("got %v; want what is expected, and not the secret", err)
			}
		})
	}
}

func TestRandomSecretsAreTaken(t *testing.T) {
	if _, err := Secret(secret); err != nil {
		t.Error(err)
	}
	for range 20_000 {
		var b [48]byte
		rand.Read(b[:])
		for _, s := range [][]byte{b[:32], []byte(hex.EncodeToString(b[:16])), []byte(hex.EncodeToString(b[:32])), []byte(base64.StdEncoding.EncodeToString(b[:]))} {
			if _, err := Secret(s); err != nil {
				t.Fatalf("%q: %v", s, err)
			}
		}
	}
	k, err := Secret(secret[:40])
	if err != nil || fmt.Sprint(k.algs) != "[HS256]" {
		t.Errorf("40 bytes are good for %v, %v; want HS256 only", k.algs, err)
	}
}

func TestKeysOfAJWKSThatAreNotForVerifyingAreLeftOutAndNamed(t *testing.T) {
	x := base64url(edKey.Public())
	ed2 := ed25519.NewKeyFromSeed([]byte("another seed of thirty-two bytes"))
	good := `{"kty":"OKP","crv":"Ed25519","x":"` + x + `","kid":"good"}`
	for name, c := range map[string]struct{ key, want string }{
		"encryption":    {`{"kty":"OKP","crv":"Ed25519","x":"` + x + `","use":"enc","kid":"good"}`, "use is"},
		"operations":    {`{"kty":"OKP","crv":"Ed25519","x":"` + x + `","key_ops":["encrypt"]}`, "key_ops"},
		"private half":  {`{"kty":"OKP","crv":"Ed25519","x":"` + x + `","d":"` + x + `"}`, "private half"},
		"other curve":   {`{"kty":"OKP","crv":"X25519","x":"` + x + `"}`, "unsupported curve"},
		"secp256k1":     {`{"kty":"EC","crv":"secp256k1","x":"` + x + `","y":"` + x + `"}`, "unsupported curve"},
		"off the curve": {`{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + x + `"}`, "not on the curve"},
		"other size":    {`{"kty":"OKP","crv":"Ed25519","x":"AAAA"}`, `"x"`},
		"padding":       {`{"kty":"OKP","crv":"Ed25519","x":"` + x + `="}`, `"x"`},
		"no type":       {`{"crv":"Ed25519","x":"` + x + `"}`, "unsupported key type"},
		"type by case":  {`{"KTY":"OKP","crv":"Ed25519","x":"` + x + `"}`, "unsupported key type"},
		"secret":        {`{"kty":"oct","k":"` + x + `"}`, "a secret"},
		"other alg":     {`{"kty":"OKP","crv":"Ed25519","x":"` + x + `","alg":"HS256"}`, "not one of this key's"},
		"number as id":  {`{"kty":"OKP","crv":"Ed25519","x":"` + x + `","kid":7}`, `"kid"`},
		"even exponent": {`{"kty":"RSA","n":"` + base64url(rsaKey.N.Bytes()) + `","e":"AAI"}`, "exponent"},
		"long exponent": {`{"kty":"RSA","n":"` + base64url(rsaKey.N.Bytes()) + `","e":"AQAAAAAB"}`, "too long"},
		"huge modulus":  {`{"kty":"RSA","n":"` + strings.Repeat("_", 40000) + `","e":"AQAB"}`, "too long"},
		"not an object": {`7`, "expected"},
	} {
		t.Run(name, func(t *testing.T) {
			set, skipped, err := ParseJWKS([]byte(`{"keys":[` + c.key + `,` + good + `]}`))
			if err != nil || set.Len() != 1 || len(skipped) != 1 || !strings.Contains(skipped[0].Error(), c.want) {
				t.Errorf("%v, %v; want it left out as %q", skipped, err, c.want)
			}
		})
	}
	for name, text := range map[string]string{
		"empty": "", "no keys": "{}", "null": `{"keys":null}`, "an object": `{"keys":{}}`, "twice": `{"keys":[],"keys":[]}`, "by case": `{"Keys":[]}`, "HTML": "<html>",
		"one id twice": `{"keys":[` + good + `,` + strings.Replace(good, x, base64url(ed2.Public()), 1) + `]}`, "too many": `{"keys":[` + strings.Repeat(`7,`, 100) + `7]}`,
		"deep": `{"keys":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := ParseJWKS([]byte(text)); err == nil {
				t.Error("read")
			}
		})
	}
	mixed := `{"keys":[` + good + `,{"kty":"oct","k":"` + x + `"}]}`
	if _, _, err := parseJWKS([]byte(mixed), true); err == nil {
		t.Error("secrets and public keys in one set: read")
	}
}

// Some issuers list a key once for each algorithm that it signs with.
func TestOneKeyIDMayStandForSeveralAlgorithmsOfOneKey(t *testing.T) {
	n := base64url(rsaKey.N.Bytes())
	other := base64url(must(rsa.GenerateKey(rand.Reader, 2048)).N.Bytes())
	entry := func(n, more string) string { return `{"kty":"RSA","kid":"k","e":"AQAB","n":"` + n + `"` + more + `}` }
	for name, c := range map[string]struct {
		keys  []string
		algs  string // "" is a set that is refused
		count int
	}{
		"two algorithms":            {[]string{entry(n, `,"alg":"RS256"`), entry(n, `,"alg":"PS512"`)}, "RS256 PS512", 1},
		"one of no use":             {[]string{entry(n, `,"alg":"RSA-OAEP"`), entry(n, `,"alg":"RS256"`)}, "RS256", 1},
		"the same twice":            {[]string{entry(n, `,"alg":"RS256"`), entry(n, `,"alg":"RS256","use":"sig"`)}, "RS256", 1},
		"with all and one":          {[]string{entry(n, ``), entry(n, `,"alg":"RS256"`)}, "RS256 RS384 RS512 PS256 PS384 PS512", 1},
		"two keys":                  {[]string{entry(n, `,"alg":"RS256"`), entry(other, `,"alg":"PS256"`)}, "", 0},
		"two keys, one of no use":   {[]string{entry(n, `,"alg":"RS256"`), entry(other, `,"alg":"RSA-OAEP"`)}, "", 0},
		"two keys, one of them bad": {[]string{entry("AQAB", ``), entry(n, ``)}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			set, _, err := ParseJWKS([]byte(`{"keys":[` + strings.Join(c.keys, ",") + `]}`))
			if c.algs == "" {
				if err == nil || !strings.Contains(err.Error(), `two keys have the id "k"`) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || set.Len() != c.count || strings.Join(set.keys[0].algs, " ") != c.algs {
				t.Fatalf("got %v, %v; want %d key for %s", set, err, c.count, c.algs)
			}
			v := verifierOf(t, Options{Keys: Fixed(set)})
			alg := set.keys[0].algs[len(set.keys[0].algs)-1]
			if _, err := v.Verify(t.Context(), sign(t, alg, `{"alg":"`+alg+`","kid":"k"}`, claims(""), rsaKey), now); err != nil {
				t.Errorf("a token by %s: %v", alg, err)
			}
		})
	}
}

func base64url(b any) string {
	var raw []byte
	switch b := b.(type) {
	case []byte:
		raw = b
	default:
		raw = []byte(fmt.Sprintf("%s", b))
	}
	return b64(string(raw))
}

func FuzzParseJWKS(f *testing.F) {
	var examples []struct{ Key json.RawMessage }
	load(f, "rfc.json", &examples)
	for _, e := range examples {
		f.Add([]byte(keySet(e.Key)))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		set, _, err := parseJWKS(text, true)
		if (set == nil) == (err == nil) {
			t.Fatal("a set and an error, or neither")
		}
		if set == nil {
			return
		}
		for _, k := range set.keys {
			if len(k.algs) == 0 || !set.has(k) {
				t.Errorf("key %q is of no use", k.id)
			}
		}
	})
}
