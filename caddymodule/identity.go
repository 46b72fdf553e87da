package caddymodule

import (
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
)

// Identity tells the backend which tenant a request is for: X-Tenant-ID (the
// slug) and X-Tenant-Plan for people and logs, and Tenant-Identity, a signed
// statement that is good for seconds, for the backend to verify. What a client
// sent under these names is gone by then.
type Identity struct {
	app *App
	log *zap.Logger
}

// CaddyModule returns the module's identity.
func (*Identity) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.tenant_identity", New: func() caddy.Module { return new(Identity) }}
}

// Provision finds the app and demands a key.
func (h *Identity) Provision(ctx caddy.Context) error {
	h.log = ctx.Logger()
	var err error
	if h.app, err = appOf(ctx, "tenant_identity"); err != nil {
		return err
	}
	if h.app.Identity.Key == "" {
		return errors.New("tenant_identity: no key to sign with; expected 'identity_key FILE' in the global option 'tenancy'")
	}
	return nil
}

// ServeHTTP injects the headers. Strip runs once more, since a directive in
// between may have set one of them from what the client sent.
func (h *Identity) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	s := stateOf(r.Context())
	if s == nil || s.tenant == nil {
		return missingTenant(h.log, "tenant_identity").answer(w, r)
	}
	signer, err := h.app.signer.get()
	if err != nil {
		h.log.Error("refusing a request: nothing to sign with", zap.Error(err))
		return problemInternal.answer(w, r)
	}
	var user string
	var roles []string
	if s.user != nil {
		user, roles = s.user.Subject, s.user.Roles
	}
	statement, err := signer.SignUser(s.tenant, user, roles, time.Now())
	if err != nil {
		h.log.Error("refusing a request", zap.String("tenant", s.tenant.Slug.String()), zap.Error(err))
		return problemInternal.answer(w, r)
	}
	identity.Strip(r)
	if s.prefix != "" {
		r.Header["X-Forwarded-Prefix"] = []string{s.prefix}
	}
	r.Header[identity.HeaderTenant] = []string{s.tenant.Slug.String()}
	r.Header[identity.HeaderPlan] = []string{string(s.plan)}
	r.Header[identity.HeaderName] = []string{statement}
	watchAgain(r, s)
	return next.ServeHTTP(w, r)
}

// parseIdentity reads the directive, which has no options:
//
//	tenant_identity [<matcher>]
func parseIdentity(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	i := new(Identity)
	if err := i.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	return i, nil
}

// UnmarshalCaddyfile reads the directive; see parseIdentity.
func (h *Identity) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.ArgErr()
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("unknown option %q; tenant_identity has none", d.Val())
	}
	return nil
}

var (
	_ caddy.Provisioner           = (*Identity)(nil)
	_ caddyhttp.MiddlewareHandler = (*Identity)(nil)
	_ caddyfile.Unmarshaler       = (*Identity)(nil)
)
