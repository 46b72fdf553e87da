package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// CredentialSource reads API keys and revocations from where they are kept, as a
// [Source] reads tenants: with the same further interfaces, and a [Paced] one is
// polled at least twice a second, so that a revocation is in force within one.
type CredentialSource interface {
	// Load reads everything, or returns [ErrUnchanged]. A key that check finds fault
	// with is left out; check may be nil.
	Load(ctx context.Context, check func(*Key) error) (*Credentials, error)
	String() string
	Close() error
}

// CredentialOptions are those of a [CredentialFeed].
type CredentialOptions = FeedOptions[CredentialSource, func(*Key) error, Credentials]

// CredentialFeed keeps the current [Credentials]: see [Feed]. As long as Current is
// nil, nothing can be said about any credential.
type CredentialFeed = Feed[Credentials]

// OpenCredentials starts a goroutine that reads the source at once and then
// keeps up with it until Close. It does not wait.
func OpenCredentials(o CredentialOptions) *CredentialFeed {
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &credentialReader{source: o.Source, check: o.Check, now: o.Now}
	return openFeed("credentials", "the credentials", 10*time.Second, o, r)
}

// credentialReader reads the credentials that a source has.
type credentialReader struct {
	source CredentialSource
	check  func(*Key) error
	now    func() time.Time
}

func (r *credentialReader) load(ctx context.Context, prev *Credentials) (got reading[Credentials], err error) {
	begin := time.Now()
	next, err := r.source.Load(ctx, r.check)
	if err != nil {
		return got, err
	}
	got = r.news(prev, next)
	got.work = time.Since(begin)
	return got, nil
}

func (r *credentialReader) news(prev, next *Credentials) reading[Credentials] {
	switch {
	case prev == nil:
		prev = NewCredentials()
		fallthrough
	case !prev.same(next):
		next.at = r.now()
	default:
		next = prev
	}
	return reading[Credentials]{value: next, urgent: next.refuses(prev), news: func(_, restored bool) Event {
		return CredentialsLoaded{Restored: restored, Credentials: next}
	}}
}

// savedCredentials are what is saved. There is no key among them that opens
// anything: only the hashes of keys.
type savedCredentials struct {
	Keys    map[KeyHash]savedKey
	Revoked map[revocation]time.Time
}

type savedKey struct {
	ID, Name, Tenant string
	Roles            []string
	Expires          time.Time
	Revoked          bool
}

func (r *credentialReader) save(c *Credentials) any {
	keys := make(map[KeyHash]savedKey, len(c.keys))
	for hash, k := range c.keys {
		keys[hash] = savedKey{k.ID, k.Name, k.Tenant.String(), k.Roles, k.Expires, k.Revoked}
	}
	return savedCredentials{keys, c.revoked}
}

// restore leaves out the keys that check finds fault with, as when they are read
// from the source.
func (r *credentialReader) restore(decode func(any) error, goodAt time.Time) (got reading[Credentials], err error) {
	var saved savedCredentials
	if err := decode(&saved); err != nil {
		return got, err
	}
	c := NewCredentials()
	for hash, k := range saved.Keys {
		slug, err := tenant.ParseSlug(k.Tenant)
		if err != nil {
			return got, fmt.Errorf("a key's tenant: %w", err)
		}
		made := Key{ID: k.ID, Name: k.Name, Tenant: slug, Roles: k.Roles, Expires: k.Expires, Revoked: k.Revoked}
		if r.check == nil || r.check(&made) == nil {
			c.keys[hash] = &made
		}
	}
	if saved.Revoked != nil { // an empty map is not saved
		c.revoked = saved.Revoked
	}
	got = r.news(nil, c)
	c.at = goodAt
	return got, nil
}
