// Package httpidentity is the directive `tenant_identity`.
package httpidentity

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
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/problem"
)

func init() { caddy.RegisterModule(new(Handler)) }

// Handler tells the backend which tenant a request is for: X-Tenant-ID (the
// slug) and X-Tenant-Plan for people and logs, and Tenant-Identity, a signed
// statement that is good for seconds, for the backend to verify. What a client
// sent under these names is gone by then.
type Handler struct {
	app *tenancy.App
	log *zap.Logger
}

// CaddyModule returns the module's identity.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.tenant_identity", New: func() caddy.Module { return new(Handler) }}
}

// Provision finds the app and demands a key.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.log = ctx.Logger()
	var err error
	if h.app, err = tenancy.AppOf(ctx, "tenant_identity"); err != nil {
		return err
	}
	if h.app.Identity.Key == "" {
		return errors.New("tenant_identity: no key to sign with; expected 'identity_key FILE' in the global option 'tenancy'")
	}
	return nil
}

// ServeHTTP injects the headers. Strip runs once more, since a directive in
// between may have set one of them from what the client sent.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	q := tenancy.FromContext(r.Context())
	if q == nil {
		return tenancy.MissingTenant(h.log, "tenant_identity").Answer(w, r)
	}
	statement, err := h.app.Sign(q, time.Now())
	if err != nil {
		h.log.Error("refusing a request: it can't be signed", zap.String("tenant", q.String()), zap.Error(err))
		return problem.Internal.Answer(w, r)
	}
	identity.Strip(r)
	if prefix := q.PathPrefix(); prefix != "" {
		r.Header["X-Forwarded-Prefix"] = []string{prefix}
	}
	r.Header[identity.HeaderTenant] = []string{q.String()}
	r.Header[identity.HeaderPlan] = []string{string(q.Plan())}
	r.Header[identity.HeaderName] = []string{statement}
	q.WatchBody(r)
	return next.ServeHTTP(w, r)
}

// Parse reads the directive, which has no options:
//
//	tenant_identity [<matcher>]
func Parse(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	i := new(Handler)
	if err := i.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	return i, nil
}

// UnmarshalCaddyfile reads the directive; see Parse.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
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
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddyfile.Unmarshaler       = (*Handler)(nil)
)
