package identity

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// noon is a fixed time, so that every statement in these tests is the same on
// every run.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

var acme = &tenant.Tenant{ID: "t1", Slug: tenant.MustSlug("acme-pets"), Plan: "free", Status: tenant.Active}

func newKeys(t testing.TB, n int) *Keys {
	t.Helper()
	keys, err := ParseKeys(keyFile(t, n))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// keyFile returns the content of a file with n new keys.
func keyFile(t testing.TB, n int) []byte {
	t.Helper()
	var keys []signingKey
	for range n {
		keys = append(keys, newSigningKey())
	}
	file, err := encodeKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func newSigner(t testing.TB, keys *Keys) *Signer {
	t.Helper()
	s, err := NewSigner(SignerOptions{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newVerifier(keys *Keys) *Verifier {
	return NewVerifier(VerifierOptions{Keys: func() ([]byte, error) { return keys.JWKS(), nil }})
}

func mustSign(t testing.TB, s *Signer, now time.Time) string {
	t.Helper()
	token, err := s.Sign(acme, now)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// forge signs any header and payload with the key, as an attacker who holds a
// key, or a careless signer, could.
func forge(t testing.TB, key ed25519.PrivateKey, header, payload map[string]any) string {
	t.Helper()
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	input := encode(header) + "." + encode(payload)
	return input + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(input)))
}

// parts splits a statement and decodes its header and payload.
func parts(t testing.TB, token string) (header, payload map[string]any) {
	t.Helper()
	for i, into := range []*map[string]any{&header, &payload} {
		b, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatal(err)
		}
	}
	return header, payload
}
