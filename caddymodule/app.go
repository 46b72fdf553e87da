package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

// App is the `tenancy` app: who the tenants are, what their plans allow, where
// consumption is counted, and the key that backends trust. The handlers of
// this package find it by itself; it is configured once, in the global options
// of a Caddyfile or under `apps.tenancy`.
type App struct {
	// Where the tenants come from. Required.
	Source SourceConfig `json:"source"`

	// The plans by name. A tenant on a plan that is not here is refused with
	// 503 by `tenant_rate_limit`, and named in the log.
	Plans map[string]PlanConfig `json:"plans,omitempty"`

	// The plan of tenants whose record names none. Default: none, so they are
	// treated as on an unknown plan.
	DefaultPlan string `json:"default_plan,omitempty"`

	// Where requests are counted. Default: in this process.
	Limiter LimiterConfig `json:"limiter,omitempty"`

	// How the backend is told.
	Identity IdentityConfig `json:"identity,omitempty"`

	// Where attempts to cross over are recorded. Default: nowhere.
	Audit AuditConfig `json:"audit,omitempty"`

	// How fast a client may guess at names and tokens.
	Guesses GuessConfig `json:"guesses,omitzero"`

	// How many tenants have metric series of their own; all further ones share
	// the series `_other`. Default: 1000.
	MaxTenantSeries int `json:"max_tenant_series,omitempty"`

	log      *zap.Logger
	plans    plans
	registry *pooled[*tenants]
	limiter  *pooled[ratelimit.Limiter]
	auditor  *pooled[*trail]
	guessed  *pooled[*guesses]
	signer   lazySigner

	// What all tenant_auth have in common; complete before the first request.
	verifiers   []*auth.Verifier
	issuers     []*auth.Issuers
	credentials *pooled[*credentialFeed] // nil without a database to read them from
	takesKeys   bool
	// resolvesKeys is of all tenant directives.
	resolvesKeys bool

	started bool
	stopLog func()

	stopCredentialLog func()
	sampled           *sampler // for warnings of requests
	alerts            *sampler // for events
	ctx               caddy.Context
	events            *caddyevents.App
}

// CaddyModule returns the module's identity.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tenancy", New: func() caddy.Module { return new(App) }}
}

// Provision prepares everything that handlers use, because Caddy starts apps
// in random order. It dials nothing and creates no file, because `caddy
// validate` runs it too.
func (a *App) Provision(ctx caddy.Context) error {
	a.log = ctx.Logger()
	a.ctx = ctx
	a.sampled, a.alerts = newSampler(10*time.Second), newSampler(10*time.Second)
	if a.MaxTenantSeries == 0 {
		a.MaxTenantSeries = defaultMaxSeries
	}
	repl := caddy.NewReplacer()

	var err error
	if a.plans, err = newPlans(a.Plans, a.DefaultPlan); err != nil {
		return err
	}
	if err := a.signer.configure(a.Identity, a.plans.fallback); err != nil {
		return err
	}
	if a.registry, err = a.Source.open(ctx, repl); err != nil {
		return err
	}
	if a.limiter, err = a.Limiter.open(repl); err != nil {
		return err
	}
	a.restoreLimits(ctx)
	if a.auditor, err = a.Audit.open(repl, a.Identity); err != nil {
		return err
	}
	events, err := ctx.App("events")
	if err != nil {
		return fmt.Errorf("tenancy: %w", err)
	}
	a.events = events.(*caddyevents.App)
	if a.guessed, err = a.Guesses.open(); err != nil {
		return err
	}
	if err := collectors.register(ctx.GetMetricsRegistry(), a); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	a.stopLog = a.registry.value.Subscribe(a.onRegistry)
	return nil
}

// Start makes the identity key if there is none and gives the registry a
// moment to be read, so that a normal start has no request without a tenant.
// A registry that can't be read does not stop the gateway: requests get 503
// until it can.
func (a *App) Start() error {
	if a.resolvesKeys && !a.takesKeys {
		return errors.New("tenancy: 'tenant' finds tenants by API key, but no 'tenant_auth' has api_keys: nothing would verify keys nor keep them from backends")
	}
	if err := a.signer.load(); err != nil {
		return err
	}
	if a.auditor != nil {
		a.auditor.value.signer.Store(a.signer.signer)
	}
	a.started = true
	a.registry.value.store.start(a.ctx.Storage())
	if err := a.Audit.prepare(caddy.NewReplacer()); err != nil {
		return err
	}
	a.announce()
	ctx, cancel := context.WithTimeout(context.Background(), firstLoadWait)
	defer cancel()
	if err := a.registry.value.WaitFirst(ctx); err != nil {
		a.log.Error("the tenants could not be read yet; answering 503 until they can",
			zap.String("source", a.registry.value.Stats().Source), zap.Error(err))
	}
	if a.credentials != nil {
		a.credentials.value.store.start(a.ctx.Storage())
		_ = a.credentials.value.WaitFirst(ctx) // a failure is logged by the feed's subscriber
	}
	return nil
}

// firstLoadWait is long enough for a hundred thousand tenants.
const firstLoadWait = 2 * time.Second

// Stop does nothing: what handlers use is released in Cleanup.
func (*App) Stop() error { return nil }

// Cleanup gives back what Provision took; it also runs after a Provision that
// failed half-way.
func (a *App) Cleanup() error {
	if a.stopLog != nil {
		a.stopLog()
	}
	if a.stopCredentialLog != nil {
		a.stopCredentialLog()
	}
	collectors.release(a)
	if err := a.saveLimits(); err != nil {
		a.log.Error("the counts could not be saved; the next start begins with older ones", zap.Error(err))
	}
	if a.registry != nil && a.registry.fresh && !a.started {
		a.registry.value.store.abandon()
	}
	if a.credentials != nil && a.credentials.fresh && !a.started {
		a.credentials.value.store.abandon()
	}
	return errors.Join(a.registry.release(), a.limiter.release(), a.auditor.release(), a.guessed.release(), a.credentials.release())
}

// onRegistry logs what the registry did. It runs on the registry's goroutine.
func (a *App) onRegistry(e registry.Event) {
	switch e := e.(type) {
	case registry.Loaded:
		if e.RemovedCount > 0 {
			collectors.prune(e.Snapshot)
		}
		a.streamsEnded(a.registry.value.streams.tenantsChanged(e), errTenantEnded)
		text := "tenants loaded"
		if e.Restored {
			text = "the source can't be read; going on with the tenants of the last run"
		}
		a.log.Info(text, zap.Int("tenants", e.Tenants), zap.Int("added", e.AddedCount),
			zap.Int("changed", e.ChangedCount), zap.Int("removed", e.RemovedCount), zap.Int("problems", e.ProblemCount))
		for _, p := range e.Problems {
			a.log.Warn("skipping what is wrong in a tenant's record", zap.String("problem", p.String()))
		}
		for plan, tenants := range a.plans.missing(e.Snapshot) {
			a.log.Warn("tenants are on a plan that is not configured; their requests are refused",
				zap.String("plan", string(plan)), zap.Int("tenants", tenants))
		}
	case registry.Failed:
		if e.Count%failuresPerLine == 1 {
			a.log.Error("reading the tenants failed; keeping the last good list", zap.String("source", a.registry.value.Stats().Source),
				zap.Int("failures", e.Count), zap.Time("last_good", e.LoadedAt), zap.Error(e.Err))
		}
	case registry.StoreFailed:
		a.storeFailed(e)
	}
}

// storeFailed names a snapshot that can't be saved, or that is refused. Requests
// go on; a start without the source would have nothing to begin with.
func (a *App) storeFailed(e registry.StoreFailed) {
	a.log.Error("Caddy's storage fails to keep what a start without the source needs", zap.Error(e.Err))
}

// streamsEnded counts streams that were ended before their time, and says so.
func (a *App) streamsEnded(n int, cause error) {
	if n == 0 {
		return
	}
	collectors.streamsEnded.Add(float64(n))
	a.log.Info("streams were ended", zap.Int("streams", n), zap.String("reason", cause.Error()))
}

// failuresPerLine is how many failures in a row share a line in the log: one
// in five minutes at the default interval.
const failuresPerLine = 600

// appOf returns the configured app, for the handlers.
func appOf(ctx caddy.Context, directive string) (*App, error) {
	app, err := ctx.AppIfConfigured("tenancy")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return nil, fmt.Errorf("%s: the global option 'tenancy' is missing: expected at least a source of tenants", directive)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", directive, err)
	}
	return app.(*App), nil
}

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
