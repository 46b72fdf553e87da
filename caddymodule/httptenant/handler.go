// Package httptenant is the directive `tenant`, and the matcher of that name.
package httptenant

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/problem"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func init() {
	caddy.RegisterModule(new(Handler))
	caddy.RegisterModule(new(Matcher))
}

// Handler finds out which tenant a request is for, from its host, its path, a
// header, its API key, or several of them, which must then agree. All that is
// behind it runs for an active tenant's request only.
//
// A request without a tenant, or with an unknown, suspended, malformed or
// conflicting one, gets one and the same 404. Until the first list of tenants
// has been read, every request gets 503, and so does a tenant whose record has a
// fault that must not open anything. A request for another host than its TLS
// connection was made for gets 421, whoever the two belong to.
//
// It sets the placeholders `{tenant.slug}`, `{tenant.id}`, `{tenant.plan}`,
// `{tenant.name}`, `{tenant.source}` (which part of the request named it) and
// `{tenant.path_prefix}`, and the field `tenant` in the access log. It removes
// the headers that only the gateway may send to a backend, in every spelling,
// from headers, trailers and the Connection header.
type Handler struct {
	// The ways to find the tenant; all that answer must agree.
	ResolversRaw []json.RawMessage `json:"resolvers" caddy:"namespace=tenancy.resolvers inline_key=type"`

	app   *tenancy.App
	chain resolve.Chain
	owned []string // headers to remove besides identity's own
	log   *zap.Logger
}

// CaddyModule returns the module's identity.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.tenant", New: func() caddy.Module { return new(Handler) }}
}

// Provision builds the chain of resolvers.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.log = ctx.Logger()
	var err error
	if h.app, err = tenancy.AppOf(ctx, "tenant"); err != nil {
		return err
	}
	if len(h.ResolversRaw) == 0 {
		return errors.New("tenant: nothing to find the tenant by; " + expectedWay)
	}
	modules, err := ctx.LoadModule(h, "ResolversRaw")
	if err != nil {
		return fmt.Errorf("tenant: %w", err)
	}
	for _, m := range modules.([]any) {
		guest, ok := m.(tenancy.ResolverModule)
		if !ok {
			return fmt.Errorf("tenant: module %T is no resolver", m)
		}
		resolver, err := guest.OpenResolver()
		if err != nil {
			return fmt.Errorf("tenant: %w", err)
		}
		h.chain = append(h.chain, resolver)
		if o, ok := resolver.(resolve.HeaderOwner); ok {
			h.owned = append(h.owned, o.OwnedHeaders()...)
		}
	}
	return nil
}

// ServeHTTP resolves, strips and refuses or goes on.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	start := time.Now()
	q, first := h.app.Begin(r)
	if !first {
		// Two readings of one request could differ, and the first one has
		// removed what the second would read.
		h.log.Error("the directive 'tenant' covers this request twice; write all ways to find the tenant in one",
			zap.String("uri", r.RequestURI))
		identity.Strip(r, h.owned...)
		return problem.Internal.Answer(w, r)
	}
	if p := unservable(r); p != nil {
		return h.refuseUnservable(w, r, p)
	}
	if wait, tooMany := q.TooManyAttempts(start); tooMany {
		identity.Strip(r, h.owned...)
		h.app.Metrics().Rejected("guessing")
		return tenancy.AnswerAttempts(w, r, wait)
	}
	if misdirected(r) {
		return h.refuseMisdirected(w, r)
	}
	keepProtocol(r.Header)
	list := h.app.Tenants()
	answer, err := h.chain.Resolve(r, list)
	identity.Strip(r, h.owned...)
	if h.app.Stale() {
		h.app.SaySometimes(func(log *zap.Logger) { log.Error("the list of tenants is older than max_stale; answering 503") })
		return problem.Starting.Answer(w, r)
	}
	if err != nil {
		if h.app.Starting(list, err) {
			return problem.Starting.Answer(w, r)
		}
		return h.refuse(w, r, q, answer, err)
	}
	q.Found(r, answer.Tenant, list, answer.Source, answer.Prefix)
	if answer.Prefix != "" {
		r.URL.Path, r.URL.RawPath = answer.Path, answer.RawPath
		r.Header["X-Forwarded-Prefix"] = []string{answer.Prefix}
	}
	return q.Serve(w, r, next, start)
}

// refuse gives the common answer and tells operators, not the client, why.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, q *tenancy.Request, answer resolve.Answer, err error) error {
	h.app.Metrics().Rejected(tenant.Reason(err))
	if errors.Is(err, tenant.ErrFaulty) {
		h.app.SaySometimes(func(log *zap.Logger) {
			log.Error("a tenant's record has a fault that must not open anything; its requests get 503", zap.String("host", r.Host), zap.Error(err))
		})
		return problem.Starting.Answer(w, r)
	}
	if errors.Is(err, tenant.ErrConflict) {
		h.app.RecordConflict(r, answer.Claimed)
	}
	if entry := h.log.Check(zap.DebugLevel, "request without a tenant"); entry != nil {
		entry.Write(zap.String("reason", tenant.Reason(err)), zap.String("host", r.Host), zap.Error(err))
	}
	return h.app.AnswerOutsider(w, r, q, answer.Claimed, err)
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
