package registry

import (
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

// Credentials are all API keys and revocations at one moment. They are never
// changed and safe for concurrent use; a look into them takes no lock and does
// no I/O, and its time does not grow with their number.
type Credentials struct {
	keys     map[KeyHash]*Key
	tokens   map[revoked]struct{}
	subjects map[revoked]time.Time // tokens issued before are refused

	problems []Problem
	faults   int
	at       time.Time
}

func newCredentials() *Credentials {
	return &Credentials{keys: map[KeyHash]*Key{}, tokens: map[revoked]struct{}{}, subjects: map[revoked]time.Time{}}
}

// revoked is a token's id or subject, and whose it is: any issuer's if empty.
type revoked struct{ value, issuer string }

// Key returns the key with that hash, or nil.
func (c *Credentials) Key(hash KeyHash) *Key { return c.keys[hash] }

// Revoked reports whether the token is refused by its id or its subject.
func (c *Credentials) Revoked(t Token) bool {
	for i, issuer := range [2]string{"", t.Issuer} {
		if i == 1 && issuer == "" {
			break
		}
		if t.ID != "" {
			if _, there := c.tokens[revoked{t.ID, issuer}]; there {
				return true
			}
		}
		if t.Subject != "" {
			if before, there := c.subjects[revoked{t.Subject, issuer}]; there && t.IssuedAt.Before(before) {
				return true
			}
		}
	}
	return false
}

// Keys and Revocations count what there is.
func (c *Credentials) Keys() int { return len(c.keys) }

// Revocations counts tokens and subjects.
func (c *Credentials) Revocations() int { return len(c.tokens) + len(c.subjects) }

// LoadedAt is when they were read.
func (c *Credentials) LoadedAt() time.Time { return c.at }
