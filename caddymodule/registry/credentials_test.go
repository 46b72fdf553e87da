package registry

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"
)

func hashOf(key string) KeyHash { return sha256.Sum256([]byte(key)) }

func TestRevocationsMeanOneIssuersTokensOrAllOfThem(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	c := NewCredentials()
	if err := errors.Join(
		c.RevokeToken("j-any", ""), c.RevokeToken("j-own", "idp"),
		c.RevokeSubject("s-any", "", at), c.RevokeSubject("s-any", "", at.Add(-time.Hour)), // the later one counts
		c.RevokeSubject("s-own", "idp", at), c.RevokeSubject("s-always", "", time.Time{}),
	); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		token Token
		want  bool
	}{
		"nothing at all":             {Token{}, false},
		"another":                    {Token{ID: "x", Subject: "y", Issuer: "idp"}, false},
		"id, any issuer":             {Token{ID: "j-any", Issuer: "idp"}, true},
		"id, without issuer":         {Token{ID: "j-any"}, true},
		"id, its issuer":             {Token{ID: "j-own", Issuer: "idp"}, true},
		"id, another issuer":         {Token{ID: "j-own", Issuer: "other"}, false},
		"id, no issuer":              {Token{ID: "j-own"}, false},
		"an id as a subject":         {Token{Subject: "j-any"}, false},
		"a subject as an id":         {Token{ID: "s-any"}, false},
		"subject, before":            {Token{Subject: "s-any", IssuedAt: at.Add(-time.Second)}, true},
		"subject, at the moment":     {Token{Subject: "s-any", IssuedAt: at}, false},
		"subject, without a time":    {Token{Subject: "s-any"}, true},
		"subject, its issuer":        {Token{Subject: "s-own", Issuer: "idp"}, true},
		"subject, another issuer":    {Token{Subject: "s-own", Issuer: "other"}, false},
		"subject, without a moment":  {Token{Subject: "s-always", IssuedAt: at.Add(1e6 * time.Hour)}, true},
		"subject of any, issuer own": {Token{Subject: "s-any", Issuer: "idp"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.Revoked(test.token); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestCredentialsWithoutANameAreRefused(t *testing.T) {
	c := NewCredentials()
	if err := c.AddKey(hashOf("a"), Key{ID: "a b"}); err == nil || !strings.Contains(err.Error(), `reading id "a b"`) {
		t.Errorf("a key with a blank in its id: %v", err)
	}
	for name, err := range map[string]error{"a token": c.RevokeToken("", "i"), "a subject": c.RevokeSubject("", "i", noon)} {
		if err == nil || err.Error() != "expected a value, found an empty one" {
			t.Errorf("%s without a name: %v", name, err)
		}
	}
}
