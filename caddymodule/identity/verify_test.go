package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAStatementSaysWhatWasSigned(t *testing.T) {
	keys := newKeys(t, 1)
	claims, err := newVerifier(keys).Verify(mustSign(t, newSigner(t, keys), noon), noon)
	if err != nil {
		t.Fatal(err)
	}
	if claims.Tenant != acme.Slug || claims.TenantID != "t1" || claims.Plan != "free" ||
		claims.Audience != DefaultAudience || claims.Issuer != DefaultIssuer ||
		!claims.IssuedAt.Equal(noon) || !claims.Expires.Equal(noon.Add(DefaultTTL)) {
		t.Errorf("got %+v", claims)
	}
}

func TestAStatementIsGoodForItsTimeOnly(t *testing.T) {
	keys := newKeys(t, 1)
	v := newVerifier(keys)
	token := mustSign(t, newSigner(t, keys), noon)
	for _, test := range []struct {
		after time.Duration
		good  bool
	}{
		{-DefaultLeeway - time.Second, false},
		{-DefaultLeeway, true},
		{0, true},
		{DefaultTTL + DefaultLeeway - time.Second, true},
		{DefaultTTL + DefaultLeeway, false},
		{time.Hour, false},
	} {
		for _, again := range []string{"first", "remembered"} {
			_, err := v.Verify(token, noon.Add(test.after))
			if (err == nil) != test.good || (err != nil && !errors.Is(err, ErrUnverified)) {
				t.Errorf("%v after issue (%s): %v", test.after, again, err)
			}
		}
	}
}

// Whoever steals a key, or has a careless signer, must not have a statement for
// a year.
func TestAStatementThatLivesTooLongIsRefused(t *testing.T) {
	keys := newKeys(t, 1)
	for name, c := range map[string]struct {
		ttl, max time.Duration
		good     bool
	}{
		"ten minutes":               {10 * time.Minute, 0, true},
		"with the leeway":           {10*time.Minute + DefaultLeeway, 0, true},
		"more":                      {10*time.Minute + DefaultLeeway + time.Second, 0, false},
		"a year":                    {365 * 24 * time.Hour, 0, false},
		"an hour where it may":      {time.Hour, time.Hour, true},
		"a minute where it may not": {time.Minute, 30 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := NewSigner(SignerOptions{Keys: keys, TTL: c.ttl})
			if err != nil {
				t.Fatal(err)
			}
			v := NewVerifier(VerifierOptions{Keys: func() ([]byte, error) { return keys.JWKS(), nil }, MaxTTL: c.max})
			for _, later := range []time.Duration{0, c.ttl - time.Second} { // also when most of it is over
				if _, err := v.Verify(mustSign(t, s, noon), noon.Add(later)); (err == nil) != c.good || err != nil && !errors.Is(err, ErrUnverified) {
					t.Errorf("after %v: %v; want good %v", later, err, c.good)
				}
			}
			delivery, err := s.SignAudit(nil, noon)
			if err != nil {
				t.Fatal(err)
			}
			if err := v.VerifyAudit(delivery, nil, noon); (err == nil) != c.good {
				t.Errorf("a delivery: %v; want good %v", err, c.good)
			}
		})
	}
}

func TestForgedStatementsAreRefused(t *testing.T) {
	keys := newKeys(t, 1)
	good := mustSign(t, newSigner(t, keys), noon)
	private := keys.signing[0].private
	with := func(inHeader bool, name string, value any) string {
		header, payload := parts(t, good)
		into := payload
		if inHeader {
			into = header
		}
		if into[name] = value; value == nil {
			delete(into, name)
		}
		return forge(t, private, header, payload)
	}
	segments := strings.Split(good, ".")
	none := func(alg string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf(`{"alg":%q,"typ":%q,"kid":%q}`, alg, Type, keys.signing[0].id))) + "." + segments[1] + "."
	}
	hs256 := func() string {
		input := strings.TrimSuffix(none("HS256"), ".")
		mac := hmac.New(sha256.New, keys.JWKS())
		mac.Write([]byte(input))
		return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	for name, token := range map[string]string{
		"empty":                  "",
		"text":                   "acme-pets",
		"two segments":           segments[0] + "." + segments[1],
		"four segments":          good + ".x",
		"no signature":           segments[0] + "." + segments[1] + ".",
		"padding":                good + "=",
		"line break":             segments[0] + "." + segments[1] + ".\n" + segments[2],
		"alg none":               none("none"),
		"alg NONE":               none("NONE"),
		"public key as secret":   hs256(),
		"another key":            mustSign(t, newSigner(t, newKeys(t, 1)), noon),
		"another typ":            with(true, "typ", "JWT"),
		"no typ":                 with(true, "typ", nil),
		"no kid":                 with(true, "kid", nil),
		"kid is a number":        with(true, "kid", 1),
		"crit":                   with(true, "crit", []string{"exp"}),
		"another audience":       with(false, "aud", "other"),
		"list of audiences":      with(false, "aud", []string{DefaultAudience}),
		"another issuer":         with(false, "iss", "other"),
		"no expiry":              with(false, "exp", nil),
		"no time of issue":       with(false, "iat", nil),
		"expiry as text":         with(false, "exp", "2030"),
		"tenant in upper case":   with(false, "tenant", "ACME-PETS"),
		"tenant is a path":       with(false, "tenant", "../x"),
		"tenant missing":         with(false, "tenant", nil),
		"tenant is a list":       with(false, "tenant", []string{"acme-pets"}),
		"plan with a line break": with(false, "plan", "free\nX: y"),
		"too long":               good + strings.Repeat("A", MaxTokenLen),
		"changed payload":        segments[0] + "." + strings.Replace(segments[1], segments[1][:4], "eyJB", 1) + "." + segments[2],
	} {
		t.Run(name, func(t *testing.T) {
			if claims, err := newVerifier(keys).Verify(token, noon); !errors.Is(err, ErrUnverified) || claims.Tenant != (Claims{}.Tenant) {
				t.Errorf("got %+v, %v", claims, err)
			}
		})
	}
}

func TestEveryChangedByteIsNoticed(t *testing.T) {
	keys := newKeys(t, 1)
	v := newVerifier(keys)
	good := mustSign(t, newSigner(t, keys), noon)
	for i := range len(good) {
		for _, flip := range []byte{1, 0x20, 0x80} {
			b := []byte(good)
			b[i] ^= flip
			if _, err := v.Verify(string(b), noon); err == nil {
				t.Errorf("byte %d changed by %#x: verified", i, flip)
			}
		}
	}
}

func TestAKeyThatIsAddedIsLearntAndOneThatIsWithdrawnStops(t *testing.T) {
	old, next := newKeys(t, 1), newKeys(t, 1)
	published := old.JWKS()
	v := NewVerifier(VerifierOptions{Keys: func() ([]byte, error) { return published, nil }})
	oldToken, nextToken := mustSign(t, newSigner(t, old), noon), mustSign(t, newSigner(t, next), noon)
	if _, err := v.Verify(oldToken, noon); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(nextToken, noon); err == nil {
		t.Fatal("a statement of an unpublished key verified")
	}
	published = (&Keys{signing: append(old.signing[:1:1], next.signing...)}).JWKS()
	later := noon.Add(reloadEvery)
	for _, token := range []string{oldToken, nextToken} {
		if _, err := v.Verify(token, later); err != nil {
			t.Errorf("while both keys are published: %v", err)
		}
	}
	published = next.JWKS()
	later = later.Add(rereadAfter)
	fresh := mustSign(t, newSigner(t, next), later)
	if _, err := v.Verify(fresh, later); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(oldToken, later); err == nil {
		t.Error("a remembered statement of a withdrawn key still verifies")
	}
}

func TestAFloodOfUnknownKeysReadsTheKeysOncePerInterval(t *testing.T) {
	keys := newKeys(t, 1)
	reads := 0
	v := NewVerifier(VerifierOptions{Keys: func() ([]byte, error) { reads++; return keys.JWKS(), nil }})
	stranger := mustSign(t, newSigner(t, newKeys(t, 1)), noon)
	for i := range 1000 {
		if _, err := v.Verify(stranger, noon.Add(time.Duration(i)*time.Millisecond)); err == nil {
			t.Fatal("verified")
		}
	}
	if reads != 1 {
		t.Errorf("read the keys %d times in a second; want 1", reads)
	}
}

func TestAFailingKeySourceKeepsTheKnownKeys(t *testing.T) {
	keys := newKeys(t, 1)
	var fail error
	v := NewVerifier(VerifierOptions{Keys: func() ([]byte, error) { return keys.JWKS(), fail }})
	s := newSigner(t, keys)
	if _, err := v.Verify(mustSign(t, s, noon), noon); err != nil {
		t.Fatal(err)
	}
	fail = errors.New("gone")
	later := noon.Add(time.Minute)
	if _, err := v.Verify(mustSign(t, s, later), later); err != nil {
		t.Errorf("with the source gone: %v", err)
	}
}

func TestRememberedStatementsAreBounded(t *testing.T) {
	keys := newKeys(t, 1)
	v := newVerifier(keys)
	for i := range maxKnown - 5 {
		v.known.Store(fmt.Sprint(i), Claims{})
	}
	v.knownN.Store(maxKnown - 5)
	s := newSigner(t, keys)
	for i := range 10 {
		token, err := s.SignUser(acme, fmt.Sprint(i), nil, noon)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(token, noon); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	v.known.Range(func(any, any) bool { n++; return true })
	if n > maxKnown || n == 0 {
		t.Errorf("remembers %d statements; want 1 to %d", n, maxKnown)
	}
}

func FuzzVerify(f *testing.F) {
	keys := newKeys(f, 1)
	good := mustSign(f, newSigner(f, keys), noon)
	f.Add(good)
	f.Add(strings.ToUpper(good))
	f.Add("a.b.c")
	f.Add(good + "." + good)
	v := newVerifier(keys)
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := v.Verify(token, noon); err == nil && token != good {
			t.Errorf("verified %q", token)
		}
	})
}

func BenchmarkVerifyRemembered(b *testing.B) {
	keys := newKeys(b, 1)
	v := newVerifier(keys)
	token := mustSign(b, newSigner(b, keys), noon)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(token, noon); err != nil {
			b.Fatal(err)
		}
	}
}
