package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Tenant finds out which tenant a request is for, from its host, its path, a
// header, its API key, or several of them, which must then agree. All that is behind it
// runs for an active tenant's request only.
//
// A request without a tenant, or with an unknown, suspended, malformed or
// conflicting one, gets one and the same 404. Until the first list of tenants
// has been read, every request gets 503. A request for another host than its
// TLS connection was made for gets 421, whoever the two belong to.
//
// It sets the placeholders `{tenant.slug}`, `{tenant.id}`, `{tenant.plan}`,
// `{tenant.name}`, `{tenant.source}` (which part of the request named it) and
// `{tenant.path_prefix}`, and the field `tenant` in the access log. It removes
// the headers that only the gateway may send to a backend, in every spelling,
// from headers, trailers and the Connection header.
type Tenant struct {
	// The domain whose direct subdomains are tenants, as in
	// `petstore.localhost`. A tenant's own domain is recognised too.
	Host string `json:"host,omitempty"`

	// Take the first segment of the path as the tenant.
	Path bool `json:"path,omitempty"`

	// Leave that segment in the path. Default: it is removed, and sent to the
	// backend as X-Forwarded-Prefix.
	KeepPath bool `json:"keep_path,omitempty"`

	// The name of the header that holds the tenant, usually `X-Tenant-ID`.
	Header string `json:"header,omitempty"`

	// Take the tenant of the API key that the request carries. It needs a
	// `tenant_auth` with `api_keys`, which also refuses keys that are not good.
	Key bool `json:"key,omitempty"`

	app   *App
	chain resolve.Chain
	owned []string // headers to remove besides identity's own
	log   *zap.Logger
}

// CaddyModule returns the module's identity.
func (*Tenant) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.tenant", New: func() caddy.Module { return new(Tenant) }}
}

// Provision builds the chain of resolvers.
func (h *Tenant) Provision(ctx caddy.Context) error {
	h.log = ctx.Logger()
	var err error
	if h.app, err = appOf(ctx, "tenant"); err != nil {
		return err
	}
	if h.Host != "" {
		host, err := resolve.NewHost(h.Host)
		if err != nil {
			return fmt.Errorf("tenant: %w", err)
		}
		h.chain = append(h.chain, host)
	}
	if h.Path {
		h.chain = append(h.chain, resolve.NewPath())
	}
	if h.Header != "" {
		header, err := resolve.NewHeader(h.Header)
		if err != nil {
			return fmt.Errorf("tenant: %w", err)
		}
		h.chain = append(h.chain, header)
		h.owned = []string{h.Header}
	}
	if h.Key {
		if err := h.app.openCredentials(); err != nil {
			return fmt.Errorf("tenant: %w", err)
		}
		h.app.resolvesKeys = true
		h.chain = append(h.chain, resolve.NewKey(h.app.keyOwner))
	}
	if len(h.chain) == 0 {
		return errors.New("tenant: nothing to find the tenant by; expected host DOMAIN, path, header NAME, key or several of them")
	}
	if h.KeepPath && !h.Path {
		return errors.New("tenant: 'keep' belongs to 'path'")
	}
	return nil
}

// ServeHTTP resolves, strips and refuses or goes on.
func (h *Tenant) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	start := time.Now()
	s := &state{app: h.app, client: clientAddr(r)}
	if stateOf(r.Context()) != nil {
		// Two readings of one request could differ, and the first one has
		// removed what the second would read.
		h.log.Error("the directive 'tenant' covers this request twice; write all ways to find the tenant in one",
			zap.String("uri", r.RequestURI))
		identity.Strip(r, h.owned...)
		return problemInternal.answer(w, r)
	}
	if g := h.app.guessing(); g.tooMany(s.client, start) {
		identity.Strip(r, h.owned...)
		collectors.refused("guessing")
		return g.answer(w, r)
	}
	if p := unservable(r); p != nil {
		return h.refuseUnservable(w, r, p)
	}
	if misdirected(r) {
		return h.refuseMisdirected(w, r)
	}
	keepProtocol(r.Header)
	snapshot := h.app.registry.value.Snapshot()
	answer, err := h.chain.Resolve(r, snapshot)
	identity.Strip(r, h.owned...)
	if s.tenant = answer.Tenant; s.tenant != nil {
		s.plan, s.listed = h.app.plans.name(s.tenant), snapshot.LoadedAt()
	}
	s.source, s.prefix = answer.Source, answer.Prefix
	s.attach(r)
	if h.app.registry.value.Stale() {
		if h.app.sampled.allow(start) {
			h.log.Error("the list of tenants is older than max_stale; answering 503")
		}
		return problemStarting.answer(w, r)
	}
	if err != nil || s.tenant == nil {
		if snapshot.LoadedAt().IsZero() || errors.Is(err, auth.ErrNoKeys) {
			return problemStarting.answer(w, r)
		}
		return h.refuse(w, r, answer, err)
	}
	s.logTenant(r.Context())
	if s.prefix != "" {
		if !h.KeepPath {
			r.URL.Path, r.URL.RawPath = answer.Path, answer.RawPath
		}
		r.Header["X-Forwarded-Prefix"] = []string{s.prefix}
	}
	return h.measure(w, r, next, s, start)
}

// refuse gives the common answer and tells operators, not the client, why.
func (h *Tenant) refuse(w http.ResponseWriter, r *http.Request, answer resolve.Answer, err error) error {
	if err == nil {
		err = tenant.ErrNotFound
	}
	collectors.refused(tenant.Reason(err))
	h.app.failed(r)
	if errors.Is(err, tenant.ErrConflict) {
		h.app.recordConflict(r, answer.Claimed)
	}
	if entry := h.log.Check(zap.DebugLevel, "request without a tenant"); entry != nil {
		entry.Write(zap.String("reason", tenant.Reason(err)), zap.String("host", r.Host), zap.Error(err))
	}
	if h.app.memberOfSuspended(r, answer.Claimed, err) {
		return problemSuspended.answer(w, r)
	}
	return problemNoTenant.answer(w, r)
}

// measure serves the request, for as long as its tenant is active, and counts
// its outcome under its tenant.
func (h *Tenant) measure(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, s *state, start time.Time) (err error) {
	s.series = collectors.of(s)
	if asksForStream(r) {
		tenants := h.app.registry.value
		stream, end := tenants.streams.begin(r, s.tenant, tenants.Snapshot)
		defer end()
		s.stream = stream
	}
	// Not from a pool: a writer that outlived its request would write into
	// another tenant's answer.
	rec := &statusRecorder{ResponseWriterWrapper: caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, state: s}
	watchBody(r, s)
	// Also when an answer is broken off, which is a panic.
	defer func() { s.series.observe(outcomeOf(rec.status, err), time.Since(start)) }()
	err = rec.bodyProblem(r, next.ServeHTTP(rec, r))
	if rec.status == 0 && err == nil {
		rec.status = http.StatusOK // nothing was written: net/http sends 200
	}
	return err
}

// outcomeOf is the status of an answer, 0 if there is none: the one that was
// sent, or the one that Caddy makes of the error.
func outcomeOf(sent int, err error) int {
	if err == nil {
		return sent
	}
	var herr caddyhttp.HandlerError
	if errors.As(err, &herr) && herr.StatusCode != 0 {
		return herr.StatusCode
	}
	return http.StatusInternalServerError
}

var (
	_ caddy.Provisioner           = (*Tenant)(nil)
	_ caddyhttp.MiddlewareHandler = (*Tenant)(nil)
)
