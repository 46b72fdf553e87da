package tenancy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/shared"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/storage"
)

// inProcess counts in this process: what is used if nothing is configured, or a
// limiter whose placeholders turn out to be empty.
var inProcess = json.RawMessage(`{"type":"memory"}`)

// openLimiter finds or makes the limiter. The key holds no plan: limits travel with
// each call, so that counters survive a change of plans.
func (a *App) openLimiter() error {
	if len(a.LimiterRaw) == 0 {
		a.LimiterRaw = inProcess
	}
	guest, key, err := module[LimiterModule](a.ctx, a, "LimiterRaw")
	if err != nil {
		return fmt.Errorf("tenancy: limiter: %w", err)
	}
	a.limiter, err = shared.Hold("limiter "+key, func() (limit.Limiter, error) {
		l, err := guest.OpenLimiter()
		if err == nil && l == nil {
			err = errInProcess
		}
		return l, err
	})
	if errors.Is(err, errInProcess) {
		a.LimiterRaw = inProcess
		return a.openLimiter()
	}
	if err != nil {
		return fmt.Errorf("tenancy: %w", err)
	}
	return a.restoreLimits()
}

// errInProcess is a guest's wish that requests are counted in this process.
var errInProcess = errors.New("no limiter of its own")

// Limiter decides requests by the limits of their tenants.
func (a *App) Limiter() limit.Limiter { return a.limiter.Value }

// restoreLimits reads the counts that the last process left, so that a restart
// gives nobody a fresh quota. It runs once, for a limiter that has just been
// made. What can't be read is named and left alone: starting with empty counts
// is better than not starting.
func (a *App) restoreLimits() error {
	saver, ok := a.limiter.Value.(limit.Saver)
	if !ok || !a.limiter.Fresh {
		return nil
	}
	wait, cancel := context.WithTimeout(a.ctx, storage.Wait)
	defer cancel()
	data, err := a.ctx.Storage().Load(wait, storage.Limits)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = saver.Restore(bytes.NewReader(data))
	}
	if err != nil {
		a.log.Error("the counts of the last run could not be read; starting with empty ones",
			zap.String("storage_key", storage.Limits), zap.Error(err))
	}
	return nil
}

// saveLimits writes the counts when the process ends. By then every request
// has been answered.
func (a *App) saveLimits() error {
	if a.limiter == nil || !caddy.Exiting() {
		return nil
	}
	saver, ok := a.limiter.Value.(limit.Saver)
	if !ok {
		return nil
	}
	var buf bytes.Buffer
	if err := saver.Snapshot(&buf); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), storage.Wait)
	defer cancel()
	return a.ctx.Storage().Store(ctx, storage.Limits, buf.Bytes())
}

// announceLimiter says once, at the start, where requests are counted, and what is
// wrong with a store that is to count them. It is asked beside the start: a store
// that is down must not hold it up.
func (a *App) announceLimiter() {
	if !a.limiter.Fresh {
		return
	}
	if s, ok := a.limiter.Value.(limit.Shared); !ok || !s.Shared() {
		a.log.Info("counting requests in this process; set 'redis' to share limits between gateways")
	} else {
		a.log.Info("counting requests in a store that gateways share")
	}
	store, ok := a.limiter.Value.(limit.Checker)
	if !ok {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(a.ctx, storage.Wait)
		defer cancel()
		warnings, err := store.Check(ctx)
		if err != nil && a.ctx.Err() == nil {
			a.log.Warn("the store that counts requests does not answer; plans decide by their on_store_failure", zap.Error(err))
		}
		for _, w := range warnings {
			a.log.Warn("the store that counts requests is not set up for it", zap.String("warning", w))
		}
	}()
}
