// Package tenancy is the app `tenancy`, the part of the gateway that all its
// Caddy modules share: configuration, life cycle over reloads, what the handlers
// of one request know of it, problem documents, metrics, the admin API and the
// commands.
//
// It knows no handler and no guest. A guest is a module in one of its four
// namespaces; each has an interface here and an exported conformance suite beside
// the package that the interface comes from:
//
//	tenancy.sources.*    SourceModule    registry/sourcetest
//	tenancy.resolvers.*  ResolverModule  resolve/resolvetest
//	tenancy.limiters.*   LimiterModule   limit/limitertest
//	tenancy.sinks.*      SinkModule      audit/sinktest
package tenancy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/dial"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/attempts"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/lifetime"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/metrics"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/plans"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/shared"
)

func init() { caddy.RegisterModule(new(App)) }

// App is the `tenancy` app: who the tenants are, what their plans allow, where
// consumption is counted, and the key that backends trust. The handlers find it by
// themselves; it is configured once, in the global options of a Caddyfile or under
// `apps.tenancy`.
type App struct {
	// Where the tenants come from. Required.
	SourceRaw json.RawMessage `json:"source" caddy:"namespace=tenancy.sources inline_key=type"`

	// The plans by name. A tenant on a plan that is not here is refused with
	// 503 by `tenant_rate_limit`, and named in the log.
	Plans map[string]plans.Config `json:"plans,omitempty"`

	// The plan of tenants whose record names none. Default: none, so they are
	// treated as on an unknown plan.
	DefaultPlan string `json:"default_plan,omitempty"`

	// Where requests are counted. Default: in this process.
	LimiterRaw json.RawMessage `json:"limiter,omitempty" caddy:"namespace=tenancy.limiters inline_key=type"`

	// How the backend is told.
	Identity IdentityConfig `json:"identity,omitempty"`

	// Where attempts to cross over are recorded. Default: nowhere.
	AuditRaw []json.RawMessage `json:"audit,omitempty" caddy:"namespace=tenancy.sinks inline_key=type"`

	// How many requests of a client may fail to find a tenant, or carry a bad or
	// foreign token, as in `300/1m`, which is the default. Beyond that it gets 429
	// for every request until its count has gone down. `off` counts nothing.
	Guesses string `json:"guesses,omitempty"`

	// Where tenants' records may send the gateway, by `upstreams` and `jwks`: address
	// ranges (`10.20.0.0/16`), addresses, host names and all names under a domain
	// (`.backend.example`). Default: everything but this machine, link-local
	// addresses, among which are the metadata services of clouds, and the names that
	// mean one of these.
	AllowDial []string `json:"allow_dial,omitempty"`

	// How many tenants have metric series of their own; all further ones share
	// the series `_other`. Default: 1000.
	MaxTenantSeries int `json:"max_tenant_series,omitempty"`

	ctx       caddy.Context
	log       *zap.Logger
	events    *caddyevents.App
	deadline  time.Time // for waiting until lists have been read
	started   bool
	unsub     []func()
	sampled   *rate.Limiter // for warnings of requests
	alerts    *rate.Limiter // for events
	reloading bool          // another configuration runs

	source      SourceModule
	plans       plans.Set
	dial        dial.Policy
	tenants     *shared.Reference[*tenantFeed]
	streams     *shared.Reference[*lifetime.Streams]
	credentials *shared.Reference[*credentialFeed] // nil without a source of them, or nobody who asks
	limiter     *shared.Reference[limit.Limiter]
	auditLog    *shared.Reference[*auditLog]
	attempts    *shared.Reference[*attempts.Counter]
	metrics     *shared.Reference[*metrics.Metrics]
	state       *shared.Reference[*stateCollector]
	signer      keySigner

	// What handlers have said in their Provision; complete before the first request.
	guards                map[*caddyhttp.Server]*guard
	takesKeys, namesByKey bool
}

// CaddyModule returns the module's identity.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tenancy", New: func() caddy.Module { return new(App) }}
}

// Provision prepares everything that handlers use, because Caddy starts apps in
// random order. It creates no file, because `caddy validate` runs it too; and it
// waits a moment for the first list of tenants, so that a normal start has no
// request without one.
func (a *App) Provision(ctx caddy.Context) (err error) {
	a.ctx, a.log = ctx, ctx.Logger()
	a.reloading = caddy.ActiveContext().Context != nil
	a.deadline = time.Now().Add(firstListWait)
	a.sampled, a.alerts = Sampler(), Sampler()
	a.guards = make(map[*caddyhttp.Server]*guard)
	if a.MaxTenantSeries == 0 {
		a.MaxTenantSeries = metrics.DefaultMaxSeries
	}
	if a.MaxTenantSeries < 0 {
		return fmt.Errorf("tenancy: max_tenant_series %d: expected at least 1", a.MaxTenantSeries)
	}
	if a.plans, err = plans.New(a.Plans, a.DefaultPlan); err != nil {
		return err
	}
	if err := a.signer.configure(&a.Identity, a.plans.Fallback(), signsAlready()); err != nil {
		return fmt.Errorf("tenancy: %w", err)
	}
	if a.dial, err = dial.New(a.AllowDial); err != nil {
		return fmt.Errorf("tenancy: allow_dial: %w", err)
	}
	if a.metrics, err = metrics.Hold(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	if err := a.openTenants(); err != nil {
		return err
	}
	if err := a.openLimiter(); err != nil {
		return err
	}
	if err := a.openAudit(); err != nil {
		return err
	}
	if err := a.openAttempts(); err != nil {
		return err
	}
	events, err := ctx.App("events")
	if err != nil {
		return fmt.Errorf("tenancy: %w", err)
	}
	a.events = events.(*caddyevents.App)
	if err := a.registerState(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	return a.awaitTenants()
}

// firstListWait is long enough for a hundred thousand tenants.
const firstListWait = 2 * time.Second

// Sampler returns what lets one event through in ten seconds, for logs that a flood
// of requests could otherwise fill.
func Sampler() *rate.Limiter { return rate.NewLimiter(rate.Every(10*time.Second), 1) }

// Start makes the identity key if there is none, and begins to write: snapshots,
// the audit log's folder. A source that can't be read does not stop a first start:
// requests get 503 until it can.
func (a *App) Start() error {
	if a.namesByKey && !a.takesKeys {
		return errors.New("tenancy: 'tenant' finds tenants by API key, but no 'tenant_auth' has api_keys: nothing would verify keys nor keep them from backends")
	}
	if err := a.startSigner(); err != nil {
		return err
	}
	if err := a.startAudit(); err != nil {
		return err
	}
	a.started = true
	a.tenants.Value.store.Start(a.ctx.Storage())
	if a.credentials != nil {
		a.credentials.Value.store.Start(a.ctx.Storage())
	}
	a.announceLimiter()
	return nil
}

// Stop does nothing: what handlers use is released in Cleanup.
func (*App) Stop() error { return nil }

// Cleanup gives back what Provision took; it also runs after a Provision that
// failed half-way.
func (a *App) Cleanup() error {
	for _, unsubscribe := range a.unsub {
		unsubscribe()
	}
	if err := a.saveLimits(); err != nil {
		a.log.Error("the counts could not be saved; the next start begins with older ones", zap.Error(err))
	}
	if a.tenants != nil && a.tenants.Fresh && !a.started {
		a.tenants.Value.store.Abandon()
	}
	if a.credentials != nil && a.credentials.Fresh && !a.started {
		a.credentials.Value.store.Abandon()
	}
	return errors.Join(a.releaseState(), a.tenants.Release(), a.streams.Release(), a.limiter.Release(), a.auditLog.Release(),
		a.attempts.Release(), a.credentials.Release(), a.metrics.Release())
}

// AppOf returns the configured app, for handlers and guests; who is named in the
// error if there is none.
func AppOf(ctx caddy.Context, who string) (*App, error) {
	app, err := ctx.AppIfConfigured("tenancy")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return nil, fmt.Errorf("%s: the global option 'tenancy' is missing: expected at least a source of tenants", who)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", who, err)
	}
	return app.(*App), nil
}

// signsAlready reports whether the configuration that runs has an identity key.
func signsAlready() bool {
	if caddy.ActiveContext().Context == nil {
		return false
	}
	running, err := caddy.ActiveContext().AppIfConfigured("tenancy")
	return err == nil && running.(*App).Identity.Key != ""
}

// Metrics are the counters of the process.
func (a *App) Metrics() *metrics.Metrics { return a.metrics.Value }

// DialPolicy says where tenants' records may send the gateway.
func (a *App) DialPolicy() dial.Policy { return a.dial }

// Policies are the plans of the configuration.
func (a *App) Policies() plans.Set { return a.plans }

// SaySometimes logs what goes wrong with requests, one line in ten seconds.
func (a *App) SaySometimes(say func(log *zap.Logger)) {
	if a.sampled.Allow() {
		say(a.log)
	}
}

// module loads the guest of a raw field, and returns with it a key that tells it
// from one with other settings.
func module[T caddy.Module](ctx caddy.Context, owner any, field string) (guest T, key string, err error) {
	loaded, err := ctx.LoadModule(owner, field)
	if err != nil {
		return guest, "", err
	}
	guest, ok := loaded.(T)
	if !ok {
		return guest, "", fmt.Errorf("module %T is none of that kind", loaded)
	}
	key, err = moduleKey(guest)
	return guest, key, err
}

// moduleKey is the module's name with its settings, in which Provision has replaced
// placeholders.
func moduleKey(m caddy.Module) (string, error) {
	settings, err := json.Marshal(m)
	return string(m.CaddyModule().ID) + " " + string(settings), err
}

// untilDeadline bounds the waiting for lists of a source.
func (a *App) untilDeadline() (context.Context, context.CancelFunc) {
	return context.WithDeadline(a.ctx, a.deadline)
}

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
