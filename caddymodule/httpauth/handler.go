// Package httpauth is the directive `tenant_auth`.
package httpauth

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
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/problem"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/shared"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func init() { caddy.RegisterModule(new(Handler)) }

// Handler lets a caller pass who carries a valid bearer token (JWT), or API key,
// of the tenant that the request is for.
//
// Without a token, or with one that is not valid, the answer is 401. A valid
// token of another tenant gets the same 404 as an unknown tenant and one
// record in the audit log. A member of a tenant that is suspended is told so
// with 403; nobody else is. Until keys have been read it is 503.
//
// A tenant whose record names an issuer of its own is opened by that one's
// tokens alone, and by its API keys. With a `sqlite` or `postgres` source,
// tokens and subjects that the catalog lists as revoked are refused within a
// second, and 503 is answered to tokens until that list has been read once.
//
// It sets the placeholders `{tenant.user.id}`, `{tenant.user.roles}` (with
// commas in between) and `{http.auth.user.id}`, and puts user and roles into
// the signed identity.
type Handler struct {
	// Where the keys come from: exactly one of these three, or none with
	// `api_keys`. A URL is fetched in the background and its last good answer
	// kept.
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

	// How long a token of the platform's issuer may live at most, from `iat` to `exp`.
	// Default: 24h. A tenant's own issuer decides for itself.
	MaxLifetime caddy.Duration `json:"max_lifetime,omitempty"`

	// How old the keys may be when they could not be fetched or read; after that
	// tokens get 503. Default: 24h.
	MaxStale caddy.Duration `json:"max_stale,omitempty"`

	// The claims with the slug or slugs of the user's tenants, and with the
	// roles. Default: `tenant` and `roles`.
	TenantClaim string `json:"tenant_claim,omitempty"`
	RolesClaim  string `json:"roles_claim,omitempty"`

	// Accept API keys of the catalog too, in `X-API-Key` or as the bearer token.
	// It needs a source of type `sqlite` or `postgres`. A key reaches neither the
	// backend nor, as a bearer token, the access log; for `X-API-Key` the log
	// needs the filter `request>headers>X-Api-Key delete`, since Caddy notes
	// requests down before any handler runs.
	APIKeys bool `json:"api_keys,omitempty"`

	// Let requests without a token pass, as nobody. A bad token never passes.
	Optional bool `json:"optional,omitempty"`

	// The answer to another tenant's token: 404 (default) or 403.
	OnForeign int `json:"on_foreign,omitempty"`

	app     *tenancy.App
	log     *zap.Logger
	keys    *shared.Reference[*auth.Remote]
	issuers *shared.Reference[*issuers]
}

// CaddyModule returns the module's identity.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.tenant_auth", New: func() caddy.Module { return new(Handler) }}
}

// Provision opens the keys and makes the verifier known to the app, which
// asks it whether a suspended tenant's caller may be told.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.log = ctx.Logger()
	var err error
	if h.app, err = tenancy.AppOf(ctx, "tenant_auth"); err != nil {
		return err
	}
	if h.OnForeign == 0 {
		h.OnForeign = http.StatusNotFound
	}
	if h.OnForeign != http.StatusNotFound && h.OnForeign != http.StatusForbidden {
		return fmt.Errorf("tenant_auth: on_foreign %d; expected 404 or 403", h.OnForeign)
	}
	for option, text := range map[string]*string{
		"issuer": &h.Issuer, "audience": &h.Audience, "tenant_claim": &h.TenantClaim, "roles_claim": &h.RolesClaim,
	} {
		if err := tenancy.Replace("tenant_auth: "+option, text); err != nil {
			return err
		}
	}
	if h.MaxLifetime < 0 || h.MaxStale < 0 {
		return errors.New("tenant_auth: max_lifetime and max_stale: expected positive durations")
	}
	there, err := h.app.OpenCredentials()
	if err != nil {
		return fmt.Errorf("tenant_auth: %w", err)
	}
	if h.APIKeys && !there {
		return fmt.Errorf("tenant_auth: api_keys: the source of tenants is of type %q; expected sqlite or postgres, where the keys are", h.app.SourceType())
	}
	if err := h.openIssuers(caddy.NewReplacer()); err != nil {
		return fmt.Errorf("tenant_auth: %w", err)
	}
	h.app.Guard(ctx, !h.Optional, h.APIKeys, h.issuers.Value.platform)
	return nil
}

// Cleanup gives the keys back.
func (h *Handler) Cleanup() error { return errors.Join(h.issuers.Release(), h.keys.Release()) }

// ServeHTTP verifies the token and compares its tenants with the request's.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	q := tenancy.FromContext(r.Context())
	if q == nil {
		return tenancy.MissingTenant(h.log, "tenant_auth").Answer(w, r)
	}
	user, err := h.caller(r, q)
	if h.APIKeys {
		delete(r.Header, auth.APIKeyHeader) // it is the gateway's alone
	}
	if errors.Is(err, auth.ErrNoToken) && h.Optional {
		return next.ServeHTTP(w, r)
	}
	if err != nil {
		return h.refuse(w, r, q, err)
	}
	if !user.BelongsTo(q.Tenant().Slug) {
		return h.foreign(w, r, q, &user)
	}
	if len(user.Ignored) > 0 {
		h.log.Debug("a token has claims that can't be used", zap.Strings("claims", user.Ignored))
	}
	q.Authenticated(r, &user)
	return next.ServeHTTP(w, r)
}

// caller verifies what the request carries, and nothing of whom it is for but
// whose tokens are good there.
func (h *Handler) caller(r *http.Request, q *tenancy.Request) (auth.Principal, error) {
	read := auth.BearerToken
	if h.APIKeys {
		read = auth.Credential
	}
	credential, err := read(r.Header, r.URL.RawQuery)
	if err != nil {
		return auth.Principal{}, err
	}
	credentials, err := h.app.Credentials()
	if err != nil {
		return auth.Principal{}, err
	}
	now := time.Now()
	if !h.APIKeys || !auth.IsAPIKey(credential) {
		user, err := h.issuers.Value.verify(r.Context(), q.Tenant(), credential, now)
		if err == nil {
			q.EndWithToken(&user)
		}
		return user, err
	}
	delete(r.Header, "Authorization") // unlike a token it is good for months
	user, err := tenancy.VerifyKey(credentials, credential, now)
	if err == nil {
		q.EndWithKey(credential)
	}
	return user, err
}

// refuse answers a request without a good token.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, q *tenancy.Request, err error) error {
	reason := auth.Reason(err)
	h.app.Metrics().Rejected("token_" + reason)
	if entry := h.log.Check(zap.DebugLevel, "token refused"); entry != nil {
		entry.Write(zap.String("reason", reason), zap.Error(err))
	}
	if errors.Is(err, auth.ErrNoKeys) {
		h.app.SaySometimes(func(log *zap.Logger) {
			if h.keys != nil {
				err = errors.Join(err, h.keys.Value.Stats().LastError)
			}
			log.Error("no keys to verify tokens with; answering 503", zap.Error(err))
		})
	}
	return q.AnswerToken(w, r, err)
}

// foreign answers a member of another tenant like anybody who asks for a
// tenant that does not exist, and writes the attempt down.
func (h *Handler) foreign(w http.ResponseWriter, r *http.Request, q *tenancy.Request, user *auth.Principal) error {
	h.app.Metrics().Rejected("foreign")
	h.app.Record(r, audit.Event{
		Type: audit.TypeCrossTenant, Reason: "foreign", Tenant: q.String(),
		UserTenant: slugs(user.Tenants), User: user.Subject,
	})
	if h.OnForeign == http.StatusForbidden {
		return q.AnswerForeign(w, r, problem.Foreign)
	}
	return q.AnswerForeign(w, r, problem.NoTenant)
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
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
