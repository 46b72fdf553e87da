package identity

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

// vectors are statements with what a verifier must say to each, for verifiers
// in any language. docs/identity.md explains the checks.
type vectors struct {
	Comment  string          `json:"comment"`
	Audience string          `json:"audience"`
	Issuer   string          `json:"issuer"`
	Now      int64           `json:"now"`
	JWKS     json.RawMessage `json:"jwks"`
	Cases    []vector        `json:"cases"`
}

type vector struct {
	Name  string `json:"name"`
	Token string `json:"token"`
	// Tenant is what the statement says, empty when it must be refused.
	Tenant string `json:"tenant"`
}

const vectorsFile = "testdata/vectors.json"

func TestTheVectorsAreVerifiedAsTheySay(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	data, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	good := 0
	for _, c := range v.Cases {
		verifier := NewVerifier(VerifierOptions{Keys: func() ([]byte, error) { return v.JWKS, nil }, Audience: v.Audience, Issuer: v.Issuer})
		claims, err := verifier.Verify(c.Token, time.Unix(v.Now, 0))
		if (err == nil) != (c.Tenant != "") || claims.Tenant.String() != c.Tenant {
			t.Errorf("%s: %q, %v; want %q", c.Name, claims.Tenant, err, c.Tenant)
		}
		if err == nil {
			good++
		}
	}
	if good < 5 || len(v.Cases)-good < 35 {
		t.Errorf("%d good and %d bad cases are too few", good, len(v.Cases)-good)
	}
}

func TestTheVectorsAreThoseThatTheirGeneratorMakes(t *testing.T) {
	data, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != string(makeVectors(t)) {
		t.Errorf("%s is not what its generator makes; run go test -run Vectors -update", vectorsFile)
	}
}

func writeVectors(t testing.TB) {
	t.Helper()
	if err := os.WriteFile(vectorsFile, makeVectors(t), 0o644); err != nil {
		t.Fatal(err)
	}
}

// makeVectors returns the same bytes at every run: keys come from fixed seeds,
// Ed25519 signatures are deterministic, and maps are marshalled sorted.
func makeVectors(t testing.TB) []byte {
	t.Helper()
	seed := func(c string) ed25519.PrivateKey {
		return ed25519.NewKeyFromSeed([]byte(strings.Repeat(c, ed25519.SeedSize)))
	}
	keyOf := func(k ed25519.PrivateKey) signingKey {
		return signingKey{thumbprint(k.Public().(ed25519.PublicKey)), k}
	}
	one, two, unknown := keyOf(seed("1")), keyOf(seed("2")), keyOf(seed("3"))
	now := noon.Unix()
	type m = map[string]any
	header := func() m { return m{"alg": "EdDSA", "kid": one.id, "typ": Type} }
	payload := func() m {
		return m{"iss": DefaultIssuer, "aud": DefaultAudience, "iat": now - 10, "exp": now + 20, "tenant": "acme-pets", "tenant_id": "t1", "plan": "free"}
	}
	with := func(base m, name string, value any) m {
		if value == nil {
			delete(base, name)
		} else {
			base[name] = value
		}
		return base
	}
	v := vectors{
		Comment: "Made by vectors_test.go. A case with a tenant is good and says that; any other must be refused.",
		Issuer:  DefaultIssuer, Audience: DefaultAudience, Now: now,
		JWKS: (&Keys{signing: []signingKey{one, two}}).JWKS(),
	}
	add := func(name, tenant, token string) { v.Cases = append(v.Cases, vector{name, token, tenant}) }
	head := func(name string, value any) string {
		return forge(t, one.private, with(header(), name, value), payload())
	}
	body := func(name string, value any) string {
		return forge(t, one.private, header(), with(payload(), name, value))
	}

	good := forge(t, one.private, header(), payload())
	add("as the gateway makes it", "acme-pets", good)
	add("signed by the second key", "acme-pets", forge(t, two.private, with(header(), "kid", two.id), payload()))
	add("with user and roles", "acme-pets", forge(t, one.private, header(), with(with(payload(), "sub", "ann"), "roles", []string{"admin"})))
	add("without a plan", "acme-pets", body("plan", nil))
	add("within the tolerance after its end", "acme-pets", body("exp", now-4))
	add("within the tolerance before its issue", "acme-pets", body("iat", now+5))
	add("slug of 63 characters", strings.Repeat("a", 63), body("tenant", strings.Repeat("a", 63)))

	add("ended", "", body("exp", now-5))
	add("ended long ago", "", body("exp", now-3600))
	add("issued in the future", "", body("iat", now+6))
	add("without an end", "", body("exp", nil))
	add("without an issue", "", body("iat", nil))
	add("end as text", "", body("exp", "9999999999"))
	add("another audience", "", body("aud", "other"))
	add("audience in a list", "", body("aud", []string{DefaultAudience}))
	add("without an audience", "", body("aud", nil))
	add("another issuer", "", body("iss", "somebody"))
	add("without an issuer", "", body("iss", nil))
	add("without a tenant", "", body("tenant", nil))
	for _, bad := range []string{"", "Acme-Pets", "acme_pets", "-acme", "acme-", "acme pets", "acme.pets", "../acme", "аcme-pets", "acme-pets\n", strings.Repeat("a", 64)} {
		add("tenant "+strings.ToValidUTF8(bad, "?"), "", body("tenant", bad))
	}
	add("tenant as a number", "", body("tenant", 7))
	add("tenant in a list", "", body("tenant", []string{"acme-pets"}))

	add("another type", "", head("typ", "JWT"))
	add("the type of a delivery", "", head("typ", AuditType))
	add("without a type", "", head("typ", nil))
	add("algorithm none", "", strings.Join([]string{encodeJSON(t, m{"alg": "none", "kid": one.id, "typ": Type}), strings.Split(good, ".")[1], ""}, "."))
	add("another algorithm", "", head("alg", "HS256"))
	add("algorithm in lower case", "", head("alg", "eddsa"))
	add("without an algorithm", "", head("alg", nil))
	add("unknown key", "", forge(t, unknown.private, with(header(), "kid", unknown.id), payload()))
	add("unknown key under a known id", "", forge(t, unknown.private, header(), payload()))
	add("known key under another's id", "", forge(t, two.private, header(), payload()))
	add("without a key id", "", head("kid", nil))
	add("key id as a number", "", head("kid", 1))
	add("critical extension", "", head("crit", []string{"x"}))

	part := strings.Split(good, ".")
	other := strings.Split(forge(t, one.private, header(), with(payload(), "tenant", "fluffy-friends")), ".")
	signature, err := base64.RawURLEncoding.DecodeString(part[2])
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(signature)
	flipped[10] ^= 1
	add("payload of another statement", "", part[0]+"."+other[1]+"."+part[2])
	add("signature of another statement", "", part[0]+"."+part[1]+"."+other[2])
	add("one bit of the signature", "", part[0]+"."+part[1]+"."+base64.RawURLEncoding.EncodeToString(flipped))
	add("signature cut", "", part[0]+"."+part[1]+"."+base64.RawURLEncoding.EncodeToString(signature[:63]))
	add("without a signature", "", part[0]+"."+part[1]+".")
	add("two parts", "", part[0]+"."+part[1])
	add("four parts", "", good+"."+part[2])
	add("padding", "", good+"==")
	add("line feed", "", part[0]+"."+part[1]+"\n."+part[2])
	add("white space", "", " "+good)
	add("two statements", "", good+","+good)
	add("plain slug", "", "acme-pets")
	add("nothing", "", "")
	add("longer than 4096 bytes", "", body("pad", strings.Repeat("x", 4096)))

	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

func encodeJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}
