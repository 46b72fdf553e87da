package tenancy

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/dial"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/lifetime"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/shared"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/storage"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// tenantFeed is a registry and where its last good snapshot is kept. Its source's
// name is what the source is, whatever the settings.
type tenantFeed struct {
	*registry.Registry
	source string
	store  *storage.Snapshots
}

// ExpectedSource is the end of an error about a missing source.
const ExpectedSource = "expected 'source sqlite PATH', 'source postgres DSN', 'source file PATH' or 'source http URL'"

// openTenants finds or makes the registry for the configured source. A new one for
// a source that is read already, with other settings, goes on with the list of that
// one.
func (a *App) openTenants() error {
	if len(a.SourceRaw) == 0 {
		return errors.New("tenancy: no source of tenants; " + ExpectedSource)
	}
	guest, key, err := module[SourceModule](a.ctx, a, "SourceRaw")
	if err != nil {
		return fmt.Errorf("tenancy: source: %w", err)
	}
	a.source = guest
	interval, maxStale, err := a.pace()
	if err != nil {
		return err
	}
	source, err := guest.OpenSource()
	if err != nil {
		return fmt.Errorf("tenancy: %w", err)
	}
	name := source.String()
	var seed *registry.Snapshot
	var goodAt time.Time
	running, found := shared.Find(func(f *tenantFeed) bool { return f.source == name })
	if found {
		seed, goodAt = running.Current(), running.GoodAt()
	}
	used := false
	a.tenants, err = shared.Hold(fmt.Sprintf("tenants %s %q", key, a.AllowDial), func() (*tenantFeed, error) {
		used = true
		store := storage.NewSnapshots("tenants", name)
		store.ReadFrom(a.ctx.Storage())
		return &tenantFeed{source: name, store: store, Registry: registry.Open(registry.Options{
			Source: source, Interval: interval, Check: checkRecord(a.dial), Store: store, MaxStale: maxStale,
			Seed: seed, SeedGoodAt: goodAt,
		})}, nil
	})
	if !used {
		err = errors.Join(err, source.Close())
	}
	if err != nil {
		return err
	}
	a.reloading = a.reloading && !found
	// Streams outlive the settings of a source.
	a.streams, err = shared.Hold("streams "+name, func() (*lifetime.Streams, error) { return new(lifetime.Streams), nil })
	if err != nil {
		return err
	}
	a.unsub = append(a.unsub, a.tenants.Value.Subscribe(a.onTenants))
	return nil
}

// checkRecord returns what says what is wrong with those of a tenant's fields that the
// registry can't read.
func checkRecord(allowed dial.Policy) func(*tenant.Tenant) []registry.Fault {
	return func(t *tenant.Tenant) (faults []registry.Fault) {
		if t.JWKS != "" {
			if _, err := auth.HTTPFetcher(t.JWKS, auth.HTTPOptions{Allowed: allowed.Check}); err != nil {
				faults = append(faults, registry.Fault{Field: "jwks", Err: err})
			}
		}
		if t.Limits != "" {
			if _, err := limit.Parse(t.Limits); err != nil {
				faults = append(faults, registry.Fault{Field: "limits", Err: err})
			}
		}
		return faults
	}
}

// pace returns the source's interval and max_stale, zero for its own.
func (a *App) pace() (interval, maxStale time.Duration, err error) {
	if paced, ok := a.source.(interface {
		Pace() (interval, maxStale time.Duration, err error)
	}); ok {
		if interval, maxStale, err = paced.Pace(); err != nil {
			return 0, 0, fmt.Errorf("tenancy: source: %w", err)
		}
	}
	return interval, maxStale, nil
}

// awaitTenants gives the source a moment to be read. What is configured anew while
// another configuration serves must be readable: a typing error takes nobody down.
func (a *App) awaitTenants() error {
	ctx, cancel := a.untilDeadline()
	defer cancel()
	err := a.tenants.Value.WaitFirst(ctx)
	if err == nil {
		return nil
	}
	if a.reloading {
		return fmt.Errorf("tenancy: the tenants can't be read: %w", err)
	}
	a.log.Error("the tenants could not be read yet; answering 503 until they can", zap.Error(err))
	return nil
}

// SourceType is the name of the source's module.
func (a *App) SourceType() string { return a.source.CaddyModule().ID.Name() }

// Tenants is the list of tenants in force; before the first one it is empty, and its
// LoadedAt is zero.
func (a *App) Tenants() *registry.Snapshot { return a.tenants.Value.Snapshot() }

// Starting reports whether a tenant may have been missed because something has not been
// read yet: the list in which it was looked for, or API keys.
func (a *App) Starting(list *registry.Snapshot, err error) bool {
	return list.LoadedAt().IsZero() || errors.Is(err, auth.ErrNoKeys)
}

// Stale reports whether that list is older than max_stale.
func (a *App) Stale() bool { return a.tenants.Value.Stale() }

// Registry keeps the list, for who wants to know more of it.
func (a *App) Registry() *registry.Registry { return a.tenants.Value.Registry }

// onTenants logs what the registry did. It runs on the registry's goroutine.
func (a *App) onTenants(e registry.Event) {
	switch e := e.(type) {
	case registry.Loaded:
		if e.Removed > 0 {
			a.Metrics().Prune(e.Snapshot)
		}
		a.streamsEnded(a.streams.Value.TenantsChanged(e), "the tenant is no longer active")
		text := "tenants loaded"
		if e.Restored {
			text = "the source can't be read; going on with the tenants of the last run"
		}
		a.log.Info(text, zap.Int("tenants", e.Snapshot.Len()), zap.Int("added", e.Added),
			zap.Int("changed", e.Changed), zap.Int("removed", e.Removed), zap.Int("problems", e.Snapshot.ProblemCount()))
		for _, p := range e.Snapshot.Problems() {
			a.log.Warn("something is wrong in a tenant's record", zap.String("problem", p.String()))
		}
		for plan, tenants := range a.plans.Missing(e.Snapshot) {
			a.log.Warn("tenants are on a plan that is not configured; their requests are refused",
				zap.String("plan", string(plan)), zap.Int("tenants", tenants))
		}
	case registry.Failed:
		a.readingFailed(e, "the tenants", "list")
	case registry.StoreFailed:
		a.storeFailed(e)
	}
}

// readingFailed says that a source can't be read, and what goes on meanwhile.
func (a *App) readingFailed(e registry.Failed, what, last string) {
	if e.Count%failuresPerLine != 1 {
		return
	}
	fields := []zap.Field{zap.String("source", a.tenants.Value.source), zap.Int("failures", e.Count), zap.Error(e.Err)}
	if e.LoadedAt.IsZero() {
		a.log.Error("reading "+what+" failed; there is no last good "+last+" yet, so that requests get 503", fields...)
		return
	}
	a.log.Error("reading "+what+" failed; keeping the last good "+last, append(fields, zap.Time("last_good", e.LoadedAt))...)
}

// failuresPerLine is how many failures in a row share a line in the log: one in five
// minutes, since a source that fails is asked every two seconds.
const failuresPerLine = 150

// storeFailed names a snapshot that can't be saved, or that is refused. Requests
// go on; a start without the source would have nothing to begin with.
func (a *App) storeFailed(e registry.StoreFailed) {
	a.log.Error("Caddy's storage fails to keep what a start without the source needs", zap.Error(e.Err))
}

// streamsEnded counts streams that were ended before their time, and says so.
func (a *App) streamsEnded(n int, cause string) {
	if n == 0 {
		return
	}
	a.Metrics().StreamsEnded(n)
	a.log.Info("streams were ended", zap.Int("streams", n), zap.String("reason", cause))
}
