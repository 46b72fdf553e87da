package identity

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func TestADeliveryIsVerifiedForItsBodyAlone(t *testing.T) {
	keys := newKeys(t, 2)
	s, v := newSigner(t, keys), newVerifier(keys)
	body := []byte(`{"records":[]}`)
	token, err := s.SignAudit(body, noon)
	if err != nil {
		t.Fatal(err)
	}
	header, payload := parts(t, token)
	if header["typ"] != "tenant-audit+jwt" || header["alg"] != "EdDSA" || len(payload) != 5 || payload["exp"].(float64)-payload["iat"].(float64) != 30 {
		t.Errorf("header %v, payload %v", header, payload)
	}
	if err := v.VerifyAudit(token, body, noon); err != nil {
		t.Error(err)
	}
	other := NewVerifier(VerifierOptions{Keys: func() ([]byte, error) { return keys.JWKS(), nil }, Audience: "other"})
	issuer := NewVerifier(VerifierOptions{Keys: func() ([]byte, error) { return keys.JWKS(), nil }, Issuer: "other"})
	for name, err := range map[string]error{
		"another body":       v.VerifyAudit(token, []byte(`{"records":[ ]}`), noon),
		"no body":            v.VerifyAudit(token, nil, noon),
		"after its end":      v.VerifyAudit(token, body, noon.Add(DefaultTTL+DefaultLeeway)),
		"before its issue":   v.VerifyAudit(token, body, noon.Add(-DefaultLeeway-time.Second)),
		"another audience":   other.VerifyAudit(token, body, noon),
		"another issuer":     issuer.VerifyAudit(token, body, noon),
		"another key":        newVerifier(newKeys(t, 1)).VerifyAudit(token, body, noon),
		"no token":           v.VerifyAudit("", body, noon),
		"an overlong token":  v.VerifyAudit(token+strings.Repeat("x", MaxTokenLen), body, noon),
		"a cut token":        v.VerifyAudit(token[:len(token)-4], body, noon),
		"with a line break":  v.VerifyAudit(token[:9]+"\n"+token[9:], body, noon),
		"with a white space": v.VerifyAudit(" "+token, body, noon),
	} {
		if !errors.Is(err, ErrUnverified) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Both are signed by one key, and everybody behind the gateway sees statements
// of tenants: a tenant's own backend must not be able to write audit records,
// nor whoever takes audit records to be a tenant.
func TestAStatementIsNoDeliveryAndADeliveryNoStatement(t *testing.T) {
	keys := newKeys(t, 1)
	s, v := newSigner(t, keys), newVerifier(keys)
	statement := mustSign(t, s, noon)
	delivery, err := s.SignAudit(nil, noon)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time one is remembered
		if _, err := v.Verify(statement, noon); err != nil {
			t.Fatal(err)
		}
		if err := v.VerifyAudit(statement, nil, noon); !errors.Is(err, ErrUnverified) {
			t.Errorf("a statement passes for a delivery: %v", err)
		}
		if err := v.VerifyAudit(delivery, nil, noon); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(delivery, noon); !errors.Is(err, ErrUnverified) {
			t.Errorf("a delivery passes for a statement: %v", err)
		}
	}
	// Each with the other's claims, as a careless signer would make them.
	both := map[string]any{"iss": DefaultIssuer, "aud": DefaultAudience, "iat": noon.Unix(), "exp": noon.Unix() + 30, "tenant": "acme", "body_sha256": bodySum(nil)}
	head := map[string]any{"alg": "EdDSA", "kid": keys.signing[0].id}
	for typ, good := range map[string][2]bool{Type: {true, false}, AuditType: {false, true}, "JWT": {}, "": {}} {
		head["typ"] = typ
		token := forge(t, keys.signing[0].private, head, both)
		_, err := v.Verify(token, noon)
		if got := [2]bool{err == nil, v.VerifyAudit(token, nil, noon) == nil}; got != good {
			t.Errorf("type %q passes as a statement, as a delivery: %v; want %v", typ, got, good)
		}
	}
	if _, err := keys.SignJWT(AuditType, both); err == nil {
		t.Error("an issuer of user tokens signs deliveries")
	}
}

func TestDeliveriesPassWhileTheKeyIsRotated(t *testing.T) {
	path := t.TempDir() + "/identity.key"
	if _, err := LoadOrCreateKeys(path); err != nil {
		t.Fatal(err)
	}
	v := NewVerifier(VerifierOptions{Keys: FileKeys(JWKSPath(path))})
	now, body := noon, []byte("x")
	var last string
	for _, step := range []func(string) (string, error){nil, AddKey, PromoteKey, PruneKeys} {
		if step != nil {
			if _, err := step(path); err != nil {
				t.Fatal(err)
			}
		}
		keys, err := LoadOrCreateKeys(path) // as a reload does
		if err != nil {
			t.Fatal(err)
		}
		if last, err = newSigner(t, keys).SignAudit(body, now); err != nil {
			t.Fatal(err)
		}
		if err := v.VerifyAudit(last, body, now); err != nil {
			t.Error(err)
		}
		now = now.Add(11 * time.Second)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreateKeys(path); err != nil {
		t.Fatal(err)
	}
	if err := v.VerifyAudit(last, body, now); !errors.Is(err, ErrUnverified) {
		t.Errorf("a delivery of a withdrawn key: %v", err)
	}
}

// auditVectors are deliveries with what a receiver must say to each, for
// receivers in any language. docs/audit.md explains the checks.
type auditVectors struct {
	Comment  string          `json:"comment"`
	Audience string          `json:"audience"`
	Issuer   string          `json:"issuer"`
	Now      int64           `json:"now"`
	JWKS     json.RawMessage `json:"jwks"`
	Cases    []auditVector   `json:"cases"`
}

type auditVector struct {
	Name  string `json:"name"`
	Token string `json:"token"`
	Body  string `json:"body"`
	Good  bool   `json:"good"`
}

const auditVectorsFile = "testdata/audit_vectors.json"

func TestTheVectorsOfDeliveriesAreVerifiedAsTheySay(t *testing.T) {
	made := makeAuditVectors(t)
	if *update {
		if err := os.WriteFile(auditVectorsFile, made, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(auditVectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != string(made) {
		t.Errorf("%s is not what its generator makes; run go test -run Vectors -update", auditVectorsFile)
	}
	var v auditVectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	good := 0
	for _, c := range v.Cases {
		verifier := NewVerifier(VerifierOptions{Keys: func() ([]byte, error) { return v.JWKS, nil }, Audience: v.Audience, Issuer: v.Issuer})
		err := verifier.VerifyAudit(c.Token, []byte(c.Body), time.Unix(v.Now, 0))
		if (err == nil) != c.Good || err != nil && !errors.Is(err, ErrUnverified) {
			t.Errorf("%s: %v; want good %v", c.Name, err, c.Good)
		}
		if c.Good {
			good++
		}
	}
	if good < 4 || len(v.Cases)-good < 20 {
		t.Errorf("%d good and %d bad cases are too few", good, len(v.Cases)-good)
	}
}

// makeAuditVectors returns the same bytes at every run, as makeVectors does.
func makeAuditVectors(t testing.TB) []byte {
	t.Helper()
	keyOf := func(c string) signingKey {
		k := ed25519.NewKeyFromSeed([]byte(strings.Repeat(c, ed25519.SeedSize)))
		return signingKey{thumbprint(k.Public().(ed25519.PublicKey)), k}
	}
	one, two, unknown := keyOf("1"), keyOf("2"), keyOf("3")
	const body = `{"records":[{"id":"k3vq7w2m5x8y1z4a-000000000001","time":"2026-01-02T11:59:59.000Z","type":"tenant_conflict","claimed":["host=acme-pets","header=fluffy-friends"],"count":1}]}`
	now := noon.Unix()
	v := auditVectors{
		Comment: "Made by audit_test.go. A case that is not good must be refused.",
		Issuer:  DefaultIssuer, Audience: DefaultAudience, Now: now,
		JWKS: (&Keys{signing: []signingKey{one, two}}).JWKS(),
	}
	type m = map[string]any
	// token has the claims and header of a good one but for the one named.
	token := func(key signingKey, name string, value any) string {
		head := m{"alg": "EdDSA", "kid": key.id, "typ": AuditType}
		claims := m{"iss": DefaultIssuer, "aud": DefaultAudience, "iat": now - 10, "exp": now + 20, "body_sha256": bodySum([]byte(body))}
		into := claims
		if _, there := head[name]; there || name == "crit" {
			into = head
		}
		if into[name] = value; value == nil {
			delete(into, name)
		}
		return forge(t, key.private, head, claims)
	}
	add := func(name string, good bool, token string) {
		v.Cases = append(v.Cases, auditVector{name, token, body, good})
	}
	good := token(one, "x", nil)
	add("as the gateway makes it", true, good)
	add("signed by the second key", true, token(two, "x", nil))
	add("within the tolerance after its end", true, token(one, "exp", now-4))
	add("within the tolerance before its issue", true, token(one, "iat", now+5))

	for _, other := range []string{body + "\n", " " + body, strings.Replace(body, "acme", "ACME", 1), "", "{}"} {
		v.Cases = append(v.Cases, auditVector{"another body", good, other, false})
	}
	add("a statement of a tenant", false, forge(t, one.private, m{"alg": "EdDSA", "kid": one.id, "typ": Type},
		m{"iss": DefaultIssuer, "aud": DefaultAudience, "iat": now - 10, "exp": now + 20, "tenant": "acme-pets", "body_sha256": bodySum([]byte(body))}))
	for _, c := range []struct {
		name, member string
		value        any
	}{
		{"another type", "typ", "JWT"}, {"without a type", "typ", nil}, {"another algorithm", "alg", "HS256"}, {"without an algorithm", "alg", nil},
		{"without a key id", "kid", nil}, {"critical extension", "crit", []string{"x"}},
		{"another audience", "aud", "other"}, {"audience in a list", "aud", []string{DefaultAudience}}, {"without an audience", "aud", nil},
		{"another issuer", "iss", "other"}, {"without an issuer", "iss", nil},
		{"ended", "exp", now - 5}, {"without an end", "exp", nil}, {"end as text", "exp", "9999999999"},
		{"issued in the future", "iat", now + 6}, {"without an issue", "iat", nil},
		{"without a hash", "body_sha256", nil}, {"hash of nothing", "body_sha256", bodySum(nil)}, {"empty hash", "body_sha256", ""},
		{"hash in upper case", "body_sha256", strings.ToUpper(bodySum([]byte(body)))},
	} {
		add(c.name, false, token(one, c.member, c.value))
	}
	add("unknown key", false, token(unknown, "x", nil))
	add("known key under another's id", false, token(two, "kid", one.id))
	part := strings.Split(good, ".")
	add("signature of another", false, part[0]+"."+part[1]+"."+strings.Split(token(one, "iat", now-11), ".")[2])
	add("without a signature", false, part[0]+"."+part[1]+".")
	add("two parts", false, part[0]+"."+part[1])
	add("line feed", false, part[0]+"."+part[1]+"\n."+part[2])
	add("nothing", false, "")
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}
