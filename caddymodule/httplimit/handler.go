// Package httplimit is the directive `tenant_rate_limit`.
package httplimit

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/metrics"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/problem"
)

func init() { caddy.RegisterModule(new(Handler)) }

// Handler admits a request or answers 429, by the limits of the tenant's
// plan or the tenant's own. All limits are decided at once: a request that one
// of them refuses is charged to none.
//
// It counts per tenant and client; the client is Caddy's client IP, which
// honours trusted proxies, an IPv6 address by its /64. Every answer carries
// X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, RateLimit-Policy
// and RateLimit; a refusal also Retry-After. They are left out rather than
// guessed while the store does not answer.
//
// It answers 503 when the store does not answer and the plan says `deny`, or
// when the tenant's plan is not configured.
type Handler struct {
	// What one request costs. Default: 1.
	Cost int64 `json:"cost,omitempty"`

	// Let the upstream's own RateLimit and X-RateLimit fields through beside these.
	// Default: these replace them, so that a client reads one number.
	KeepUpstream bool `json:"keep_upstream_fields,omitempty"`

	app *tenancy.App
	log *zap.Logger
}

// CaddyModule returns the module's identity.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.tenant_rate_limit", New: func() caddy.Module { return new(Handler) }}
}

// Provision finds the app.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.log = ctx.Logger()
	if h.Cost == 0 {
		h.Cost = 1
	}
	var err error
	if h.app, err = tenancy.AppOf(ctx, "tenant_rate_limit"); err != nil {
		return err
	}
	if h.app.Policies().Empty() {
		return errors.New("tenant_rate_limit: no plans; expected at least one 'plan NAME LIMIT' in the global option 'tenancy'")
	}
	return nil
}

// Validate checks the cost against what a limit can hold.
func (h *Handler) Validate() error {
	if h.Cost < 1 || h.Cost > maxCost {
		return errors.New("tenant_rate_limit: cost: expected a number from 1 to 1000000")
	}
	return nil
}

const maxCost = 1_000_000

// ServeHTTP takes from the limits, writes the headers and goes on or refuses.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	q := tenancy.FromContext(r.Context())
	if q == nil {
		return tenancy.MissingTenant(h.log, "tenant_rate_limit").Answer(w, r)
	}
	policy, err := h.app.Policies().Of(q.Tenant())
	if err != nil {
		q.Decided(metrics.NoPlan)
		h.app.SaySometimes(func(log *zap.Logger) {
			log.Error("refusing a request: no limits for its tenant", zap.String("tenant", q.String()), zap.Error(err))
		})
		return problem.Store.Answer(w, r)
	}
	key := limit.Key{Tenant: q.Tenant().ID, Client: q.Client()}
	decision, err := h.app.Limiter().Take(r.Context(), key, policy, h.Cost)
	if err != nil {
		q.Decided(metrics.Unavailable)
		h.app.SaySometimes(func(log *zap.Logger) {
			log.Error("refusing a request: the limiter's store does not answer", zap.Error(err))
		})
		return problem.Store.Answer(w, r)
	}
	// Streams and upgrades hold their slot until they end.
	defer decision.Slot.Release()
	if h.KeepUpstream || !decision.Allowed {
		limit.WriteHeaders(w.Header(), policy, decision)
	}
	switch {
	case !decision.Allowed:
		q.Decided(metrics.Refused)
		return problem.QuotaExceeded(policy.Violated(decision)).Answer(w, r)
	case decision.Degraded:
		q.Decided(metrics.Degraded)
		h.app.SaySometimes(func(log *zap.Logger) {
			log.Warn("the limiter's store does not answer; deciding by the plan's policy", zap.Stringer("on_store_failure", policy.OnStoreFailure))
		})
	default:
		q.Decided(metrics.Allowed)
	}
	if !h.KeepUpstream {
		q.Limited(policy, decision)
	}
	return next.ServeHTTP(w, r)
}

// Parse reads the directive for a Caddyfile.
func Parse(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	l := new(Handler)
	if err := l.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	return l, nil
}

// UnmarshalCaddyfile reads the directive:
//
//	tenant_rate_limit [<matcher>] {
//	    cost <n>
//	    keep_upstream_fields
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "cost":
			cost, err := tenancy.NumberArg(d, maxCost)
			if err != nil {
				return err
			}
			h.Cost = cost
		case "keep_upstream_fields":
			if d.NextArg() {
				return d.ArgErr()
			}
			h.KeepUpstream = true
		default:
			return d.Errf("unknown option %q; expected cost or keep_upstream_fields", d.Val())
		}
	}
	return nil
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddyfile.Unmarshaler       = (*Handler)(nil)
)
