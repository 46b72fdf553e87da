package caddymodule

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// openCredentials has API keys and revocations read from the database that the
// tenants are in, once per configuration and only if a tenant_auth wants them.
// Any other source has none, and then there is nothing to hold.
func (a *App) openCredentials() error {
	if a.credentials != nil || (a.Source.Type != "sqlite" && a.Source.Type != "postgres") {
		return nil
	}
	address := caddy.NewReplacer().ReplaceAll(a.Source.Address, "")
	var err error
	key := fmt.Sprintf("credentials %s %q %d", a.Source.Type, address, a.Source.MaxStale)
	a.credentials, err = hold(key, func() (*credentialFeed, error) {
		open := registry.NewSQLiteCredentials
		if a.Source.Type == "postgres" {
			open = registry.NewPostgresCredentials
		}
		source, err := open(address)
		if err != nil {
			return nil, fmt.Errorf("tenancy: %w", err)
		}
		store := newSnapshotStore("credentials", key)
		store.readFrom(a.ctx.Storage())
		return &credentialFeed{store: store, CredentialFeed: registry.OpenCredentials(registry.CredentialOptions{
			Source: source, Check: checkKey, Store: store, MaxStale: time.Duration(a.Source.MaxStale),
		})}, nil
	})
	if err != nil {
		return err
	}
	a.stopCredentialLog = a.credentials.value.Subscribe(a.onCredentials)
	return nil
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
		a.log.Info(text, zap.Int("api_keys", e.Keys), zap.Int("revocations", e.Revocations), zap.Int("problems", e.ProblemCount))
		for _, p := range e.Problems {
			a.log.Warn("skipping what is wrong in the credentials", zap.String("problem", p.String()))
		}
		a.streamsEnded(a.registry.value.streams.credentialsChanged(a.credentials.value.Current()), errCredentialEnded)
	case registry.Failed:
		if e.Count%failuresPerLine == 1 {
			a.log.Error("reading API keys and revocations failed; keeping the last good ones",
				zap.Int("failures", e.Count), zap.Time("last_good", e.LoadedAt), zap.Error(e.Err))
		}
	case registry.StoreFailed:
		a.storeFailed(e)
	}
}

// currentCredentials returns the keys and revocations in force. Without a feed
// there are none. The error wraps [auth.ErrNoKeys] as long as the feed has read
// nothing: who was revoked is not known then.
func (a *App) currentCredentials() (*registry.Credentials, error) {
	if a.credentials == nil {
		return nil, nil
	}
	if a.credentials.value.Stale() {
		return nil, fmt.Errorf("%w: API keys and revocations are older than max_stale", auth.ErrNoKeys)
	}
	if c := a.credentials.value.Current(); c != nil {
		return c, nil
	}
	if err := a.credentials.value.LastError(); err != nil {
		return nil, fmt.Errorf("%w: %w", auth.ErrNoKeys, err)
	}
	return nil, fmt.Errorf("%w: API keys and revocations are being read", auth.ErrNoKeys)
}

// keyOwner returns whose good API key a request carries, or the zero slug.
func (a *App) keyOwner(r *http.Request) (tenant.Slug, error) {
	key, err := auth.Credential(r.Header, r.URL.RawQuery)
	if err != nil || !auth.IsAPIKey(key) {
		return tenant.Slug{}, nil //nolint:nilerr // what is no key names nobody
	}
	credentials, err := a.currentCredentials()
	if err != nil || credentials == nil {
		return tenant.Slug{}, err
	}
	user, err := apiKey(credentials, key, time.Now())
	if err != nil {
		return tenant.Slug{}, nil //nolint:nilerr // a bad key names nobody; tenant_auth refuses it
	}
	return user.Tenants[0], nil
}

// apiKey verifies an API key against the keys in force; c is not nil.
func apiKey(c *registry.Credentials, key string, now time.Time) (auth.Principal, error) {
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

// denyList asks the feed at every request. Before its first good look it
// refuses everything.
type denyList struct{ feed *registry.CredentialFeed }

// Denied implements auth.DenyList.
func (d denyList) Denied(p *auth.Principal) bool {
	c := d.feed.Current()
	return c == nil || c.Revoked(registry.Token{ID: p.TokenID, Subject: p.Subject, Issuer: p.Issuer, IssuedAt: p.IssuedAt})
}

// watchToken ends a stream when the token that it began with is revoked. Where
// nothing is ever revoked there is nothing to watch.
func (a *App) watchToken(st *stream, user *auth.Principal) {
	if st == nil || a.credentials == nil {
		return
	}
	token := registry.Token{ID: user.TokenID, Subject: user.Subject, Issuer: user.Issuer, IssuedAt: user.IssuedAt}
	st.belongsTo(func(c *registry.Credentials) bool { return !c.Revoked(token) }, a.credentials.value.CredentialFeed)
}

// watchKey ends a stream when the API key that it began with is revoked.
func (a *App) watchKey(st *stream, key string) {
	hash, err := auth.HashAPIKey(key)
	if st == nil || err != nil {
		return
	}
	st.belongsTo(func(c *registry.Credentials) bool {
		k := c.Key(hash)
		return k != nil && !k.Revoked
	}, a.credentials.value.CredentialFeed)
}

var (
	_ auth.APIKeyLookup = keyTable{}
	_ auth.DenyList     = denyList{}
)
