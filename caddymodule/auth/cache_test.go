package auth

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// switchable is a source whose set a test changes.
type switchable struct {
	set    atomic.Pointer[KeySet]
	renews atomic.Int64
}

func (s *switchable) Keys() *KeySet { return s.set.Load() }

func (s *switchable) Renew(context.Context) *KeySet { s.renews.Add(1); return s.set.Load() }

func TestASignatureIsCheckedOncePerToken(t *testing.T) {
	v := verifierOf(t, Options{})
	token := signed(t, claims(""))
	if _, err := v.Verify(t.Context(), token, now); err != nil {
		t.Fatal(err)
	}
	// Nothing verifies with this key: whoever checked again would notice.
	v.o.Keys.Keys().keys[0].material = ed25519.NewKeyFromSeed(make([]byte, 32)).Public()
	if _, err := v.Verify(t.Context(), signed(t, claims(`,"jti":"1"`)), now); Reason(err) != reasonSignature {
		t.Fatalf("another token: %v; want it checked", err)
	}
	for range 5 {
		if _, err := v.Verify(t.Context(), token, now); err != nil {
			t.Fatal(err)
		}
	}
	if n := v.cache.len(); n != 1 {
		t.Errorf("%d tokens remembered, want 1", n)
	}
}

func TestARememberedTokenExpiresAllTheSame(t *testing.T) {
	v := verifierOf(t, Options{})
	token := signed(t, claims(""))
	end := now.Add(630 * time.Second) // expiry and leeway
	for _, c := range []struct {
		at   time.Time
		want string
	}{{now, ""}, {end.Add(-time.Nanosecond), ""}, {end, reasonExpired}} {
		if _, err := v.Verify(t.Context(), token, c.at); Reason(err) != c.want {
			t.Errorf("at %v: %v, want %q", c.at, err, c.want)
		}
	}
	if n := v.cache.len(); n != 0 {
		t.Errorf("%d tokens remembered after the only one expired", n)
	}
}

func TestATokenStopsWhenItsKeyLeavesTheSet(t *testing.T) {
	src := &switchable{}
	ed, ec := publicKey(t, "ed", edKey.Public()), publicKey(t, "ec", ecKey.Public())
	src.set.Store(setOf(t, ed))
	v := verifierOf(t, Options{Keys: src})
	token := signed(t, claims(""))
	verify := func() string {
		_, err := v.Verify(t.Context(), token, now)
		return Reason(err)
	}
	if got := verify(); got != "" {
		t.Fatal(got)
	}
	src.set.Store(setOf(t, ec, publicKey(t, "ed", edKey.Public()))) // a new set with the same key
	if got := verify(); got != "" {
		t.Errorf("after a change of another key: %q", got)
	}
	src.set.Store(setOf(t, publicKey(t, "ed", ecKey.Public()))) // the same id, another key
	if got := verify(); got != reasonAlgorithm {
		t.Errorf("after its key was replaced: %q", got)
	}
	src.set.Store(setOf(t, ec))
	if got := verify(); got != reasonKey {
		t.Errorf("after its key was removed: %q", got)
	}
	src.set.Store(setOf(t, ed))
	if got := verify(); got != "" {
		t.Errorf("after its key came back: %q", got)
	}
}

// denied is a deny list of one token and one subject.
type denied struct {
	id, subject string
	before      time.Time
}

func (d *denied) Denied(p *Principal) bool {
	return d.id != "" && p.TokenID == d.id || d.subject != "" && p.Subject == d.subject && p.IssuedAt.Before(d.before)
}

func TestADeniedTokenStopsAtOnceAlsoWhenRemembered(t *testing.T) {
	deny := new(denied)
	v := verifierOf(t, Options{Denied: deny})
	byID := signed(t, claims(`,"jti":"t1"`))
	bySubject := signed(t, claims(fmt.Sprintf(`,"iat":%d`, nowSec-10)))
	newer := signed(t, claims(fmt.Sprintf(`,"iat":%d`, nowSec)))
	undated := signed(t, claims(""))
	check := func(when string, want ...string) {
		t.Helper()
		for i, token := range []string{byID, bySubject, newer, undated} {
			if _, err := v.Verify(t.Context(), token, now); Reason(err) != want[i] {
				t.Errorf("%s: token %d: %v, want %q", when, i, err, want[i])
			}
		}
	}
	check("before", "", "", "", "")
	deny.id = "t1"
	check("token denied", reasonRevoked, "", "", "")
	deny.subject, deny.before = "ann", now
	check("subject denied", reasonRevoked, reasonRevoked, "", reasonRevoked)
	*deny = denied{}
	check("after both denials ended", "", "", "", "")
}

func TestTheCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	const size = 320
	c := &cache{most: size / 2}
	var used tokenHash
	entry := &verified{}
	c.put(used, entry)
	for i := range 100_000 {
		h := tokenHash{byte(i), byte(i >> 8), byte(i >> 16), 1}
		c.put(h, entry)
		if c.get(used) == nil {
			t.Fatalf("a token that is used at every request was forgotten after %d others", i)
		}
		c.put(used, entry)
		if i%1000 == 0 {
			if n := c.len(); n > size {
				t.Fatalf("%d tokens remembered, want at most %d", n, size)
			}
		}
	}
}

func TestATokenThatIsNotInTimeIsNotRemembered(t *testing.T) {
	v := verifierOf(t, Options{})
	for range 3 {
		v.Verify(t.Context(), signed(t, `{"exp":1,"tenant":"acme-pets"}`), now)
		v.Verify(t.Context(), signed(t, claims(`,"nbf":1900000000`)), now)
	}
	if n := v.cache.len(); n != 0 {
		t.Errorf("%d tokens remembered", n)
	}
}

func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.young) + len(c.old)
}
