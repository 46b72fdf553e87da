package tenancy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/shared"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/storage"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// credentialFeed is a feed of API keys and revocations and the place where the
// last good ones are kept.
type credentialFeed struct {
	*registry.CredentialFeed
	source string
	store  *storage.Snapshots
}

// OpenCredentials has API keys and revocations read from the source that the tenants
// come from, once per configuration and only if a handler asks for them in its
// Provision. It reports false if that source has none.
func (a *App) OpenCredentials() (there bool, err error) {
	guest, ok := a.source.(CredentialsModule)
	if !ok || a.credentials != nil {
		return ok, nil
	}
	key, err := moduleKey(guest)
	if err != nil {
		return false, err
	}
	_, maxStale, err := a.pace()
	if err != nil {
		return false, err
	}
	source, err := guest.OpenCredentials()
	if err != nil {
		return false, fmt.Errorf("tenancy: %w", err)
	}
	name := source.String()
	var seed *registry.Credentials
	var goodAt time.Time
	running, found := shared.Find(func(f *credentialFeed) bool { return f.source == name })
	if found {
		seed, goodAt = running.Current(), running.GoodAt()
	}
	used := false
	a.credentials, err = shared.Hold("credentials "+key, func() (*credentialFeed, error) {
		used = true
		store := storage.NewSnapshots("credentials", name)
		store.ReadFrom(a.ctx.Storage())
		return &credentialFeed{source: name, store: store, CredentialFeed: registry.OpenCredentials(registry.CredentialOptions{
			Source: source, Check: checkKey, Store: store, MaxStale: maxStale,
			Seed: seed, SeedGoodAt: goodAt,
		})}, nil
	})
	if !used {
		err = errors.Join(err, source.Close())
	}
	if err != nil {
		return false, err
	}
	a.unsub = append(a.unsub, a.credentials.Value.Subscribe(a.onCredentials))
	ctx, cancel := a.untilDeadline()
	defer cancel()
	_ = a.credentials.Value.WaitFirst(ctx) // a failure is logged by onCredentials
	return true, nil
}

// checkKey refuses a key whose roles no token could carry.
func checkKey(k *registry.Key) error {
	for i, role := range k.Roles {
		if !auth.IsRole(role) || slices.Contains(k.Roles[:i], role) {
			return fmt.Errorf("reading column %q: %q is no role, or there twice", "roles", role)
		}
	}
	return nil
}

// onCredentials logs what the feed did. It runs on the feed's goroutine.
func (a *App) onCredentials(e registry.Event) {
	switch e := e.(type) {
	case registry.CredentialsLoaded:
		text := "credentials loaded"
		if e.Restored {
			text = "the database can't be read; going on with the credentials of the last run"
		}
		problems, count := e.Credentials.Problems()
		a.log.Info(text, zap.Int("api_keys", e.Credentials.Keys()), zap.Int("revocations", e.Credentials.Revocations()), zap.Int("problems", count))
		for _, p := range problems {
			a.log.Warn("skipping what is wrong in the credentials", zap.String("problem", p.String()))
		}
		a.streamsEnded(a.streams.Value.CredentialsChanged(e.Credentials), "the caller's credential was revoked")
	case registry.Failed:
		a.readingFailed(e, "API keys and revocations", "ones")
	case registry.StoreFailed:
		a.storeFailed(e)
	}
}

// Credentials returns the keys and revocations in force, nil where nobody has asked
// for them or the source has none. The error wraps [auth.ErrNoKeys] as long as they
// have not been read: who was revoked is not known then.
func (a *App) Credentials() (*registry.Credentials, error) {
	if a.credentials == nil {
		return nil, nil
	}
	feed := a.credentials.Value
	if feed.Stale() {
		return nil, fmt.Errorf("%w: API keys and revocations are older than max_stale", auth.ErrNoKeys)
	}
	if c := feed.Current(); c != nil {
		return c, nil
	}
	if err := feed.LastError(); err != nil {
		return nil, fmt.Errorf("%w: %w", auth.ErrNoKeys, err)
	}
	return nil, fmt.Errorf("%w: API keys and revocations are being read", auth.ErrNoKeys)
}

// NamesByKey is said by who finds tenants by their API keys: somebody must then
// verify keys and keep them from backends.
func (a *App) NamesByKey() { a.namesByKey = true }

// KeyOwner returns whose good API key a request carries, or the zero slug.
func (a *App) KeyOwner(r *http.Request) (tenant.Slug, error) {
	key, err := auth.Credential(r.Header, r.URL.RawQuery)
	if err != nil || !auth.IsAPIKey(key) {
		return tenant.Slug{}, nil //nolint:nilerr // what is no key names nobody
	}
	credentials, err := a.Credentials()
	if err != nil || credentials == nil {
		return tenant.Slug{}, err
	}
	user, err := VerifyKey(credentials, key, time.Now())
	if err != nil {
		return tenant.Slug{}, nil //nolint:nilerr // a bad key names nobody; tenant_auth refuses it
	}
	return user.Tenants[0], nil
}

// VerifyKey verifies an API key against the keys in force; c is not nil.
func VerifyKey(c *registry.Credentials, key string, now time.Time) (auth.Principal, error) {
	return auth.VerifyAPIKey(keyTable{c}, key, now)
}

// keyTable finds API keys in one state of the catalog.
type keyTable struct{ *registry.Credentials }

// LookupAPIKey implements auth.APIKeyLookup. A key's name becomes its user's:
// the prefix keeps it apart from a person's of that name.
func (t keyTable) LookupAPIKey(hash auth.APIKeyHash) (auth.APIKeyRecord, bool) {
	k := t.Key(hash)
	if k == nil {
		return auth.APIKeyRecord{}, false
	}
	return auth.APIKeyRecord{ID: k.ID, Name: "key:" + k.Name, Tenant: k.Tenant, Roles: k.Roles, Expires: k.Expires, Revoked: k.Revoked}, true
}

// DenyList returns what asks for revoked tokens at every request, and a key that
// tells it from another; nil where nothing is ever revoked. Before the first good
// reading it refuses everything.
func (a *App) DenyList() (list auth.DenyList, key string) {
	if a.credentials == nil {
		return nil, ""
	}
	return denyList{a.credentials.Value.CredentialFeed}, a.credentials.Key
}

type denyList struct{ feed *registry.CredentialFeed }

// Denied implements auth.DenyList.
func (d denyList) Denied(p *auth.Principal) bool {
	c := d.feed.Current()
	return c == nil || c.Revoked(tokenOf(p))
}

func tokenOf(p *auth.Principal) registry.Token {
	return registry.Token{ID: p.TokenID, Subject: p.Subject, Issuer: p.Issuer, IssuedAt: p.IssuedAt}
}

var (
	_ auth.APIKeyLookup = keyTable{}
	_ auth.DenyList     = denyList{}
)
