package tenancy

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/lifetime"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/metrics"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Request is what the handlers of one request know of its tenant. The directive
// `tenant` makes it, once; the handlers behind it, of whatever module, get it by
// [FromContext]. It must not be used when the request is over.
type Request struct {
	app    *App
	client netip.Addr

	tenant *tenant.Tenant
	plan   tenant.Plan
	source string
	prefix string
	user   *auth.Principal

	limits   *limit.Policy // nil as long as no limits have decided
	decision limit.Decision

	listed   *registry.Snapshot
	series   *metrics.Series
	exchange lifetime.Exchange
}

// FromContext returns the request's, or nil if no `tenant` directive has let the
// request pass.
func FromContext(ctx context.Context) *Request {
	if q := requestOf(ctx); q != nil && q.tenant != nil {
		return q
	}
	return nil
}

// requestKey is the request variable that holds the Request.
const requestKey = "tenancy"

func requestOf(ctx context.Context) *Request {
	q, _ := caddyhttp.GetVar(ctx, requestKey).(*Request)
	return q
}

// Tenant is whom the request is for; never nil.
func (q *Request) Tenant() *tenant.Tenant { return q.tenant }

// Plan is the tenant's plan, or the default plan.
func (q *Request) Plan() tenant.Plan { return q.plan }

// Source says which resolvers answered, as in "host+header".
func (q *Request) Source() string { return q.source }

// PathPrefix is the part of the escaped path that named the tenant; empty if none
// did.
func (q *Request) PathPrefix() string { return q.prefix }

// Client is the address that limits count, an IPv6 one cut to its /64. It is the zero
// one for all whose address can't be read.
func (q *Request) Client() netip.Addr { return q.client }

// User is the caller whose credential was verified, nil for nobody.
func (q *Request) User() *auth.Principal { return q.user }

// String keeps the value readable where somebody prints the variable.
func (q *Request) String() string {
	if q == nil || q.tenant == nil {
		return ""
	}
	return q.tenant.Slug.String()
}

// Begin makes the Request of this request, for the handler that resolves tenants, and
// makes it visible as placeholders. It reports false if there is one already.
func (a *App) Begin(r *http.Request) (q *Request, first bool) {
	ctx := r.Context()
	if requestOf(ctx) != nil {
		return nil, false
	}
	q = &Request{app: a, client: clientAddr(ctx)}
	caddyhttp.SetVar(ctx, requestKey, q)
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(q.placeholder)
	}
	return q, true
}

// clientAddr is Caddy's client IP, which honours trusted proxies.
func clientAddr(ctx context.Context) netip.Addr {
	text, _ := caddyhttp.GetVar(ctx, caddyhttp.ClientIPVarKey).(string)
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return limit.ClientKey(addr)
}

// Found notes the tenant that the request is for and the list that it was found in.
func (q *Request) Found(r *http.Request, t *tenant.Tenant, in *registry.Snapshot, source, prefix string) {
	q.tenant, q.plan, q.listed, q.source, q.prefix = t, q.app.plans.Name(t), in, source, prefix
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.String("tenant", t.Slug.String()))
	}
}

// Serve runs the handlers behind for as long as the tenant is active, and counts the
// outcome under it: the one way out of every request that has a tenant.
func (q *Request) Serve(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, start time.Time) (err error) {
	q.series = q.app.Metrics().Of(q.tenant.Slug, q.plan, q.app.MaxTenantSeries)
	// The exchange is the writer of the answer. It is not from a pool: a writer that
	// outlived its request would write into another tenant's answer.
	x := &q.exchange
	x.OnAnswer = q.onAnswer
	end := x.Begin(w, r, q.tenant, q.listed, q.app.streams.Value, q.app.Tenants)
	defer end()
	// Also when an answer is broken off, which is a panic.
	defer func() { q.series.Observe(x.Status(err), time.Since(start)) }()
	err = x.Finish(r, next.ServeHTTP(x, r))
	if err != nil && x.Status(nil) == 0 {
		q.onAnswer(w.Header()) // an error route answers
	}
	return err
}

// onAnswer puts the limits' fields in the place of an upstream's.
func (q *Request) onAnswer(h http.Header) {
	if q.limits != nil {
		limit.StripHeaders(h)
		limit.WriteHeaders(h, q.limits, q.decision)
	}
}

// Limited notes the decision of the limits, whose fields the answer gets when it begins,
// in the place of an upstream's: those would be a second number beside ours.
func (q *Request) Limited(p *limit.Policy, d limit.Decision) { q.limits, q.decision = p, d }

// WatchBody is called when directives may have put something around the body.
func (q *Request) WatchBody(r *http.Request) { q.exchange.WatchBody(r) }

// Decided counts what became of the request in tenant_rate_limit.
func (q *Request) Decided(d metrics.Decision) { q.series.Decided(d) }

// Authenticated notes the verified caller.
func (q *Request) Authenticated(r *http.Request, user *auth.Principal) {
	q.user = user
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Set("http.auth.user.id", user.Subject)
	}
}

// EndWithToken ends the request, if it is a stream, when the caller's token is
// revoked. Where nothing is ever revoked there is nothing to watch.
func (q *Request) EndWithToken(user *auth.Principal) {
	if feed := q.app.credentials.Get(); feed != nil {
		token := tokenOf(user)
		q.exchange.EndWithCredential(func(c *registry.Credentials) bool { return !c.Revoked(token) }, feed.Current)
	}
}

// EndWithKey ends the request, if it is a stream, when the API key is revoked.
func (q *Request) EndWithKey(key string) {
	hash, err := auth.HashAPIKey(key)
	if err != nil {
		return
	}
	q.exchange.EndWithCredential(func(c *registry.Credentials) bool {
		k := c.Key(hash)
		return k != nil && !k.Revoked
	}, q.app.credentials.Value.Current)
}

// placeholder answers for the whole {tenant.*} family: a name that is not
// there is empty and not unknown, since Caddy sends unknown placeholders to
// the backend as they stand.
func (q *Request) placeholder(key string) (any, bool) {
	name, ok := strings.CutPrefix(key, "tenant.")
	if !ok {
		return nil, false
	}
	if q.tenant == nil {
		return "", true
	}
	switch name {
	case "slug":
		return q.tenant.Slug.String(), true
	case "id":
		return q.tenant.ID, true
	case "plan":
		return string(q.plan), true
	case "name":
		return q.tenant.Name, true
	case "source":
		return q.source, true
	case "path_prefix":
		return q.prefix, true
	case "user.id":
		if q.user != nil {
			return q.user.Subject, true
		}
	case "user.roles":
		if q.user != nil {
			return strings.Join(q.user.Roles, ","), true
		}
	}
	return "", true
}
