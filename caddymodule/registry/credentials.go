package registry

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Key is what is known of an API key. The key itself is known to nobody.
type Key struct {
	// ID names the record in the catalog; Name is for people.
	ID, Name string
	Tenant   tenant.Slug
	Roles    []string
	// Expires is when the key ends; zero is never.
	Expires time.Time
	// Revoked keys are listed so that their use can be told from a guess.
	Revoked bool
}

// KeyHash is the SHA-256 of a key's text.
type KeyHash = [32]byte

// Token is what revocations know tokens by: claims of one whose signature has
// been found good.
type Token struct {
	ID, Subject, Issuer string    // "jti", "sub" and "iss"; may be empty
	IssuedAt            time.Time // "iat"; zero counts as long ago
}

// Bounds on what a source may have: they keep a mistake from taking the gateway's
// memory.
const (
	maxKeys        = 1 << 20
	maxRevocations = 1 << 20
)

// Credentials are all API keys and revocations at one moment. A source makes them;
// once a [CredentialFeed] has them they are never changed and safe for concurrent
// use: a lookup takes no lock and does no I/O.
type Credentials struct {
	keys map[KeyHash]*Key
	// revoked has until when the tokens of each were issued that are refused; zero is
	// for ever.
	revoked map[revocation]time.Time

	problems problems
	at       time.Time
}

// NewCredentials returns no credentials at all, to be filled by a source.
func NewCredentials() *Credentials {
	return &Credentials{keys: map[KeyHash]*Key{}, revoked: map[revocation]time.Time{}}
}

// revocation names tokens by their id or their subject, and by their issuer: any if
// it is empty.
type revocation struct{ ID, Subject, Issuer string }

// AddKey adds a key. One that it returns an error for is left out: the source names
// it with [Credentials.AddProblem].
func (c *Credentials) AddKey(hash KeyHash, k Key) error {
	if err := checkID(k.ID); err != nil {
		return err
	}
	if len(c.keys) >= maxKeys {
		return fmt.Errorf("expected at most %d keys", maxKeys)
	}
	c.keys[hash] = &k
	return nil
}

// RevokeToken refuses the tokens with that id, of one issuer or, if it is empty, of
// any. After an error the source cannot be read: a list of revocations counts as a
// whole or not at all.
func (c *Credentials) RevokeToken(id, issuer string) error {
	return c.revoke(revocation{ID: id, Issuer: issuer}, time.Time{})
}

// RevokeSubject refuses the tokens of a subject that were issued before a moment,
// all of them if it is zero; otherwise it is as RevokeToken.
func (c *Credentials) RevokeSubject(subject, issuer string, before time.Time) error {
	return c.revoke(revocation{Subject: subject, Issuer: issuer}, before)
}

func (c *Credentials) revoke(r revocation, before time.Time) error {
	if r.ID == "" && r.Subject == "" {
		return errors.New("expected a value, found an empty one")
	}
	if len(c.revoked) >= maxRevocations {
		return fmt.Errorf("expected at most %d revocations", maxRevocations)
	}
	if old, there := c.revoked[r]; !there || later(before, old) {
		c.revoked[r] = before
	}
	return nil
}

// later reports whether a revocation refuses more with a than with b.
func later(a, b time.Time) bool { return !b.IsZero() && (a.IsZero() || a.After(b)) }

// AddProblem names what is wrong in the source.
func (c *Credentials) AddProblem(p Problem) { c.problems.put(p) }

// Problems returns what is wrong in the source, the first [MaxProblems] of it, and
// how much that is.
func (c *Credentials) Problems() ([]Problem, int) { return c.problems.listed, c.problems.count }

// Key returns the key with that hash, or nil.
func (c *Credentials) Key(hash KeyHash) *Key { return c.keys[hash] }

// Revoked reports whether the token is refused by its id or its subject.
func (c *Credentials) Revoked(t Token) bool {
	return c.refused(revocation{ID: t.ID}, t) || c.refused(revocation{ID: t.ID, Issuer: t.Issuer}, t) ||
		c.refused(revocation{Subject: t.Subject}, t) || c.refused(revocation{Subject: t.Subject, Issuer: t.Issuer}, t)
}

func (c *Credentials) refused(r revocation, t Token) bool {
	before, there := c.revoked[r]
	return there && (before.IsZero() || t.IssuedAt.Before(before))
}

// Keys counts the keys.
func (c *Credentials) Keys() int { return len(c.keys) }

// Revocations counts the tokens and subjects that are refused.
func (c *Credentials) Revocations() int { return len(c.revoked) }

// LoadedAt is when they were read.
func (c *Credentials) LoadedAt() time.Time { return c.at }

// same reports whether both have the same keys, revocations and problems.
func (c *Credentials) same(d *Credentials) bool {
	return maps.EqualFunc(c.keys, d.keys, sameKey) && maps.EqualFunc(c.revoked, d.revoked, time.Time.Equal) &&
		c.problems.same(&d.problems)
}

func sameKey(a, b *Key) bool {
	return a.ID == b.ID && a.Name == b.Name && a.Tenant == b.Tenant && slices.Equal(a.Roles, b.Roles) &&
		a.Expires.Equal(b.Expires) && a.Revoked == b.Revoked
}

// refuses reports whether c refuses a credential that prev let pass.
func (c *Credentials) refuses(prev *Credentials) bool {
	for hash, k := range prev.keys {
		if now := c.keys[hash]; !k.Revoked && (now == nil || now.Revoked) {
			return true
		}
	}
	for r, before := range c.revoked {
		if was, there := prev.revoked[r]; !there || later(before, was) {
			return true
		}
	}
	return false
}
