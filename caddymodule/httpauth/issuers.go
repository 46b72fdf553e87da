package httpauth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/shared"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// issuers verify a tenant_auth's tokens: the platform's, and those of tenants
// with an issuer of their own. They are pooled, so that neither verified
// tokens nor tenants' keys are forgotten at a reload.
type issuers struct {
	*auth.Issuers
	platform *auth.Verifier // nil with API keys alone
}

// ownCacheSize is how many verified tokens are remembered for each tenant with
// an issuer of its own.
const ownCacheSize = 1024

// verify returns whose token it is. Where a tenant's own issuer refuses it, the
// platform's token of another tenant's user is still known for what it is, so
// that the attempt is answered and recorded like any other.
func (i *issuers) verify(ctx context.Context, t *tenant.Tenant, token string, now time.Time) (auth.Principal, error) {
	user, err := i.Verify(ctx, t, token, now)
	if t.Issuer != "" && i.platform != nil && errors.Is(err, auth.ErrBadToken) {
		if other, err := i.platform.Verify(ctx, token, now); err == nil && !other.BelongsTo(t.Slug) {
			return other, nil
		}
	}
	return user, err
}

// openIssuers finds or makes the verifiers for these options.
func (h *Handler) openIssuers(repl *caddy.Replacer) error {
	source, key, err := h.source(repl)
	if err != nil {
		return err
	}
	options := auth.Options{
		Algorithms: h.Algorithms, Audience: h.Audience, Leeway: time.Duration(h.Leeway),
		TenantClaim: h.TenantClaim, RolesClaim: h.RolesClaim, CacheSize: ownCacheSize,
	}
	text, err := json.Marshal(options)
	if err != nil {
		return err
	}
	key += fmt.Sprintf(" %s %q %v %q", text, h.Issuer, h.MaxLifetime, h.app.AllowDial)
	if list, listKey := h.app.DenyList(); list != nil {
		options.Denied = list
		key += " " + listKey
	}
	allowed := h.app.DialPolicy()
	h.issuers, err = shared.Hold("issuers "+key, func() (*issuers, error) {
		var platform *auth.Verifier
		if source != nil {
			o := options
			o.Keys, o.Issuer, o.CacheSize, o.MaxLifetime = source, h.Issuer, 0, time.Duration(h.MaxLifetime)
			var err error
			if platform, err = auth.NewVerifier(o); err != nil {
				return nil, err
			}
		}
		fetch := func(url string) (auth.Fetcher, error) {
			return auth.HTTPFetcher(url, auth.HTTPOptions{Allowed: allowed.Check, Control: allowed.Control})
		}
		return &issuers{auth.NewIssuers(auth.IssuersOptions{Platform: platform, Own: options, Fetcher: fetch}), platform}, nil
	})
	return err
}

// source finds or makes what gives the platform's keys, and returns with it
// what tells it from another one; nil when there are API keys alone.
func (h *Handler) source(repl *caddy.Replacer) (auth.KeySource, string, error) {
	if h.APIKeys && h.JWKS == "" && h.KeyFile == "" && h.Secret == "" {
		return nil, "none", nil
	}
	url, file, secret := repl.ReplaceAll(h.JWKS, ""), repl.ReplaceAll(h.KeyFile, ""), repl.ReplaceAll(h.Secret, "")
	var fetcher auth.Fetcher
	var err error
	switch {
	case url != "" && file == "" && secret == "":
		if fetcher, err = auth.HTTPFetcher(url, auth.HTTPOptions{}); err != nil {
			return nil, "", err
		}
	case file != "" && url == "" && secret == "":
		fetcher = auth.FileFetcher(file)
	case secret != "" && url == "" && file == "":
		key, err := auth.Secret([]byte(secret))
		if err != nil {
			return nil, "", err
		}
		set, err := auth.NewKeySet(key)
		if err != nil {
			return nil, "", err
		}
		return auth.Fixed(set), fmt.Sprintf("secret %x", sha256.Sum256([]byte(secret))), nil
	default:
		return nil, "", errors.New("expected exactly one of jwks URL, key_file PATH and secret, and none of them empty")
	}
	options := auth.RemoteOptions{MaxStale: time.Duration(h.MaxStale)}
	if file != "" {
		options.Every = time.Second // a file is cheap to look at
	}
	h.keys, err = shared.Hold(fmt.Sprintf("keys %q %q %v", url, file, h.MaxStale), func() (*auth.Remote, error) {
		return auth.OpenRemote(fetcher, options), nil
	})
	if err != nil {
		return nil, "", err
	}
	return h.keys.Value, h.keys.Key, nil
}
