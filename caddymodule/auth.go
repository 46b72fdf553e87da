package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Auth lets a caller pass who carries a valid bearer token (JWT) of the
// tenant that the request is for.
//
// Without a token, or with one that is not valid, the answer is 401. A valid
// token of another tenant gets the same 404 as an unknown tenant and one
// record in the audit trail. A member of a tenant that is suspended is told so
// with 403; nobody else is. Until keys have been read it is 503.
//
// It sets the placeholders `{tenant.user.id}`, `{tenant.user.roles}` (with
// commas in between) and `{http.auth.user.id}`, and puts user and roles into
// the signed identity.
type Auth struct {
	// Where the keys come from: exactly one of these three. A URL is fetched in
	// the background and its last good answer kept.
	JWKS string `json:"jwks,omitempty"`

	// A file with a JWK set or PEM blocks; read again when it changes.
	KeyFile string `json:"key_file,omitempty"`

	// A shared secret of at least 32 bytes. Use a placeholder.
	Secret string `json:"secret,omitempty"`

	// The algorithms that are believed. Default: those that the key's own type
	// permits.
	Algorithms []string `json:"algorithms,omitempty"`

	// The expected `iss` and `aud`. Default: not looked at.
	Issuer   string `json:"issuer,omitempty"`
	Audience string `json:"audience,omitempty"`

	// How far the clocks of issuer and gateway may be apart. Default: 30s.
	Leeway caddy.Duration `json:"leeway,omitempty"`

	// The claims with the slug or slugs of the user's tenants, and with the
	// roles. Default: `tenant` and `roles`.
	TenantClaim string `json:"tenant_claim,omitempty"`
	RolesClaim  string `json:"roles_claim,omitempty"`

	// Let requests without a token pass, as nobody. A bad token never passes.
	Optional bool `json:"optional,omitempty"`

	// The answer to another tenant's token: 404 (default) or 403.
	OnForeign int `json:"on_foreign,omitempty"`

	app      *App
	log      *zap.Logger
	keys     *pooled[*auth.Remote]
	verifier *auth.Verifier
}

// CaddyModule returns the module's identity.
func (*Auth) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.tenant_auth", New: func() caddy.Module { return new(Auth) }}
}

// Provision opens the keys and makes the verifier known to the app, which
// asks it whether a suspended tenant's caller may be told.
func (h *Auth) Provision(ctx caddy.Context) error {
	h.log = ctx.Logger()
	var err error
	if h.app, err = appOf(ctx, "tenant_auth"); err != nil {
		return err
	}
	if h.OnForeign == 0 {
		h.OnForeign = http.StatusNotFound
	}
	if h.OnForeign != http.StatusNotFound && h.OnForeign != http.StatusForbidden {
		return fmt.Errorf("tenant_auth: on_foreign %d; expected 404 or 403", h.OnForeign)
	}
	source, err := h.source(caddy.NewReplacer())
	if err != nil {
		return fmt.Errorf("tenant_auth: %w", err)
	}
	h.verifier, err = auth.NewVerifier(auth.Options{
		Keys: source, Algorithms: h.Algorithms, Issuer: h.Issuer, Audience: h.Audience,
		Leeway: time.Duration(h.Leeway), TenantClaim: h.TenantClaim, RolesClaim: h.RolesClaim,
	})
	if err != nil {
		return fmt.Errorf("tenant_auth: %w", err)
	}
	h.app.verifiers = append(h.app.verifiers, h.verifier)
	return nil
}

// source finds or makes what gives the keys.
func (h *Auth) source(repl *caddy.Replacer) (auth.KeySource, error) {
	url, file, secret := repl.ReplaceAll(h.JWKS, ""), repl.ReplaceAll(h.KeyFile, ""), repl.ReplaceAll(h.Secret, "")
	var fetcher auth.Fetcher
	var err error
	switch {
	case url != "" && file == "" && secret == "":
		if fetcher, err = auth.HTTPFetcher(url, auth.HTTPOptions{}); err != nil {
			return nil, err
		}
	case file != "" && url == "" && secret == "":
		fetcher = auth.FileFetcher(file)
	case secret != "" && url == "" && file == "":
		key, err := auth.Secret([]byte(secret))
		if err != nil {
			return nil, err
		}
		set, err := auth.NewKeySet(key)
		if err != nil {
			return nil, err
		}
		return auth.Fixed(set), nil
	default:
		return nil, errors.New("expected exactly one of jwks URL, key_file PATH and secret, and none of them empty")
	}
	options := auth.RemoteOptions{}
	if file != "" {
		options.Every = time.Second // a file is cheap to look at
	}
	h.keys, err = hold(fmt.Sprintf("keys %q %q", url, file), func() (*auth.Remote, error) {
		return auth.OpenRemote(fetcher, options), nil
	})
	if err != nil {
		return nil, err
	}
	return h.keys.value, nil
}

// Cleanup gives the keys back.
func (h *Auth) Cleanup() error { return h.keys.release() }

// ServeHTTP verifies the token and compares its tenants with the request's.
func (h *Auth) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	s := stateOf(r.Context())
	if s == nil || s.tenant == nil {
		return missingTenant(h.log, "tenant_auth").answer(w, r)
	}
	token, err := auth.BearerToken(r.Header, r.URL.RawQuery)
	if errors.Is(err, auth.ErrNoToken) && h.Optional {
		return next.ServeHTTP(w, r)
	}
	var user auth.Principal
	if err == nil {
		user, err = h.verifier.Verify(r.Context(), token, time.Now())
	}
	if err != nil {
		return h.refuse(w, r, err)
	}
	if !user.BelongsTo(s.tenant.Slug) {
		return h.foreign(w, r, s, &user)
	}
	s.user = &user
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Set("http.auth.user.id", user.Subject)
	}
	return next.ServeHTTP(w, r)
}

// refuse answers a request without a good token.
func (h *Auth) refuse(w http.ResponseWriter, r *http.Request, err error) error {
	reason := auth.Reason(err)
	collectors.refused("token_" + reason)
	if entry := h.log.Check(zap.DebugLevel, "token refused"); entry != nil {
		entry.Write(zap.String("reason", reason), zap.Error(err))
	}
	switch {
	case errors.Is(err, auth.ErrNoKeys):
		if h.app.sampled.allow(time.Now()) {
			h.log.Error("no keys to verify tokens with; answering 503", zap.Error(h.keys.value.Stats().LastError))
		}
		return problemStarting.answer(w, r)
	case errors.Is(err, auth.ErrNoToken):
		w.Header()["Www-Authenticate"] = challengePlain
	default:
		h.app.failed(r)
		w.Header()["Www-Authenticate"] = challengeInvalid // RFC 6750, section 3.1
	}
	return problemToken.answer(w, r)
}

var (
	challengePlain   = []string{"Bearer"}
	challengeInvalid = []string{`Bearer error="invalid_token"`}
)

// foreign answers a member of another tenant like anybody who asks for a
// tenant that does not exist, and writes the attempt down.
func (h *Auth) foreign(w http.ResponseWriter, r *http.Request, s *state, user *auth.Principal) error {
	collectors.refused("foreign")
	h.app.failed(r)
	h.app.record(r, audit.Event{
		Type: audit.TypeCrossTenant, Reason: "foreign", Tenant: s.tenant.Slug.String(),
		UserTenant: slugs(user.Tenants), User: user.Subject,
	})
	if h.OnForeign == http.StatusForbidden {
		return problemForeign.answer(w, r)
	}
	return problemNoTenant.answer(w, r)
}

// slugs lists tenants for a record, cut where the list is long.
func slugs(list []tenant.Slug) string {
	const most = 8
	var out string
	for i, slug := range list {
		switch {
		case i == most:
			return out + ",..."
		case i > 0:
			out += ","
		}
		out += slug.String()
	}
	return out
}

var (
	_ caddy.Provisioner           = (*Auth)(nil)
	_ caddy.CleanerUpper          = (*Auth)(nil)
	_ caddyhttp.MiddlewareHandler = (*Auth)(nil)
)
