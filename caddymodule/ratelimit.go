package caddymodule

import (
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit"
)

// RateLimit admits a request or answers 429, by the limits of the tenant's
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
type RateLimit struct {
	// What one request costs. Default: 1.
	Cost int64 `json:"cost,omitempty"`

	app *App
	log *zap.Logger
}

// CaddyModule returns the module's identity.
func (*RateLimit) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.tenant_rate_limit", New: func() caddy.Module { return new(RateLimit) }}
}

// Provision finds the app.
func (h *RateLimit) Provision(ctx caddy.Context) error {
	h.log = ctx.Logger()
	if h.Cost == 0 {
		h.Cost = 1
	}
	var err error
	if h.app, err = appOf(ctx, "tenant_rate_limit"); err != nil {
		return err
	}
	if len(h.app.Plans) == 0 {
		return errors.New("tenant_rate_limit: no plans; expected at least one 'plan NAME LIMIT' in the global option 'tenancy'")
	}
	return nil
}

// Validate checks the cost against what a limit can hold.
func (h *RateLimit) Validate() error {
	if h.Cost < 1 || h.Cost > maxCost {
		return errors.New("tenant_rate_limit: cost: expected a number from 1 to 1000000")
	}
	return nil
}

const maxCost = 1_000_000

// ServeHTTP takes from the limits, writes the headers and goes on or refuses.
func (h *RateLimit) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	s := stateOf(r.Context())
	if s == nil || s.tenant == nil {
		return missingTenant(h.log, "tenant_rate_limit").answer(w, r)
	}
	policy, err := h.app.plans.of(s.tenant)
	if err != nil {
		s.series.decided(decisionNoPlan)
		if h.app.sampled.allow(time.Now()) {
			h.log.Error("refusing a request: no limits for its tenant", zap.String("tenant", s.tenant.Slug.String()), zap.Error(err))
		}
		return problemStore.answer(w, r)
	}
	key := ratelimit.Key{Tenant: s.tenant.ID, Client: s.client}
	decision, err := h.app.limiter.value.Take(r.Context(), key, policy, h.Cost)
	if err != nil {
		s.series.decided(decisionUnavailable)
		if h.app.sampled.allow(time.Now()) {
			h.log.Error("refusing a request: the limiter's store does not answer", zap.Error(err))
		}
		return problemStore.answer(w, r)
	}
	// Streams and upgrades hold their slot until they end.
	defer decision.Slot.Release()
	ratelimit.WriteHeaders(w.Header(), policy, decision)
	switch {
	case !decision.Allowed:
		s.series.decided(decisionRefused)
		return quotaExceeded(policy.Violated(decision)).answer(w, r)
	case decision.Degraded:
		s.series.decided(decisionDegraded)
		if h.app.sampled.allow(time.Now()) {
			h.log.Warn("the limiter's store does not answer; deciding by the plan's policy",
				zap.Stringer("on_store_failure", policy.OnStoreFailure))
		}
	default:
		s.series.decided(decisionAllowed)
	}
	return next.ServeHTTP(w, r)
}

// clientAddr is the address that requests are counted by. An address that
// can't be read (a Unix socket's peer, say) is the zero one: all of these
// share one count.
func clientAddr(r *http.Request) netip.Addr {
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return ratelimit.ClientKey(addr)
}

// missingTenant is the answer of a handler in front of which no tenant
// directive ran: a mistake in the configuration that must not open anything.
func missingTenant(log *zap.Logger, directive string) *problem {
	log.Error(directive + " needs the directive 'tenant' in the same site; refusing the request")
	return problemInternal
}

func parseRateLimit(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	l := new(RateLimit)
	if err := l.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	return l, nil
}

// UnmarshalCaddyfile reads the directive:
//
//	tenant_rate_limit [<matcher>] {
//	    cost <n>
//	}
func (h *RateLimit) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "cost":
			cost, err := positiveArg(d, maxCost)
			if err != nil {
				return err
			}
			h.Cost = cost
		default:
			return d.Errf("unknown option %q; expected cost", d.Val())
		}
	}
	return nil
}

var (
	_ caddy.Provisioner           = (*RateLimit)(nil)
	_ caddy.Validator             = (*RateLimit)(nil)
	_ caddyhttp.MiddlewareHandler = (*RateLimit)(nil)
	_ caddyfile.Unmarshaler       = (*RateLimit)(nil)
)
