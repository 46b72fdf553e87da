package caddymodule

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit"
)

// limitsStorageKey is where counts of the in-process limiter stay over a restart, in
// Caddy's storage. Gateways that count each for themselves should not share a
// storage; those that share limits share a Redis and store nothing here.
const limitsStorageKey = "tenancy/limits.state"

// storageWait bounds reading and writing the counts.
const storageWait = 5 * time.Second

// restoreLimits reads the counts that the last process left, so that a restart
// gives nobody a fresh quota. It runs once, for a limiter that has just been
// made. What can't be read is named and left alone: starting with empty counts
// is better than not starting.
func (a *App) restoreLimits(ctx caddy.Context) {
	memory, ok := a.limiter.value.(*ratelimit.Memory)
	if !ok || !a.limiter.fresh {
		return
	}
	wait, cancel := context.WithTimeout(ctx, storageWait)
	defer cancel()
	data, err := ctx.Storage().Load(wait, limitsStorageKey)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = memory.Restore(bytes.NewReader(data))
	}
	if err != nil {
		a.log.Error("the counts of the last run could not be read; starting with empty ones",
			zap.String("storage_key", limitsStorageKey), zap.Error(err))
	}
}

// saveLimits writes the counts when the process ends. By then every request
// has been answered.
func (a *App) saveLimits() error {
	if a.limiter == nil || !caddy.Exiting() {
		return nil
	}
	memory, ok := a.limiter.value.(*ratelimit.Memory)
	if !ok {
		return nil
	}
	var buf bytes.Buffer
	if err := memory.Snapshot(&buf); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), storageWait)
	defer cancel()
	return a.ctx.Storage().Store(ctx, limitsStorageKey, buf.Bytes())
}
