package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
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
		if _, err := ParsePEM(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestSecretsMustBeLongAndRandom(t *testing.T) {
	if _, err := Secret(secret); err != nil {
		t.Error(err)
	}
	for _, s := range []string{"", "password", strings.Repeat("x", 64), strings.Repeat("abc", 20)} {
		if _, err := Secret([]byte(s)); err == nil || strings.Contains(err.Error(), "password") {
			t.Errorf("%q: %v", s, err)
		}
	}
	k, err := Secret(secret[:40])
	if err != nil || fmt.Sprint(k.algs) != "[HS256]" {
		t.Errorf("40 bytes are good for %v, %v; want HS256 only", k.algs, err)
	}
}

func TestKeysOfAJWKSThatAreNotForVerifyingAreLeftOutAndNamed(t *testing.T) {
	x := base64url(edKey.Public())
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
		set, skipped, err := ParseJWKS([]byte(`{"keys":[`+c.key+`,`+good+`]}`), JWKSOptions{})
		if err != nil || set.Len() != 1 || len(skipped) != 1 || !strings.Contains(skipped[0].Error(), c.want) {
			t.Errorf("%s: %v, %v; want it left out as %q", name, skipped, err, c.want)
		}
	}
	for name, text := range map[string]string{
		"empty": "", "no keys": "{}", "null": `{"keys":null}`, "an object": `{"keys":{}}`, "twice": `{"keys":[],"keys":[]}`, "by case": `{"Keys":[]}`, "HTML": "<html>",
		"one id twice": `{"keys":[` + good + `,` + good + `]}`, "too many": `{"keys":[` + strings.Repeat(`7,`, 100) + `7]}`,
		"deep": `{"keys":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`,
	} {
		if _, _, err := ParseJWKS([]byte(text), JWKSOptions{}); err == nil {
			t.Errorf("%s: read", name)
		}
	}
	mixed := `{"keys":[` + good + `,{"kty":"oct","k":"` + x + `"}]}`
	if _, _, err := ParseJWKS([]byte(mixed), JWKSOptions{Secrets: true}); err == nil {
		t.Error("secrets and public keys in one set: read")
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
		set, _, err := ParseJWKS(text, JWKSOptions{Secrets: true})
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
