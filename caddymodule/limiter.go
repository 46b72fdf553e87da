package caddymodule

import (
	"context"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit"
)

// LimiterConfig says where requests are counted.
type LimiterConfig struct {
	// The Redis to share limits through: `redis://`, `rediss://`, `unix://`,
	// `redis+sentinel://`, `redis+cluster://`. Use a placeholder such as
	// `{env.REDIS_URL}` to keep the password out of the configuration. Empty,
	// also after placeholders: requests are counted in this process.
	Redis string `json:"redis,omitempty"`

	// A prefix for the keys, so that several deployments can share a Redis.
	Namespace string `json:"namespace,omitempty"`

	// How long a request may wait for Redis before the plan's failure policy
	// decides. Default: 20ms.
	Budget caddy.Duration `json:"budget,omitempty"`

	// How many gateways share the limits, for the policy `local_share`.
	// Default: 1.
	Replicas int `json:"replicas,omitempty"`

	// From which quota on permits are taken from Redis in advance, so that a
	// busy client costs far less than one call per request. Smaller plans ask
	// for every request and report exact numbers. Default: 5000; negative:
	// never.
	LeaseFrom int64 `json:"lease_from,omitempty"`
}

// open finds or makes the limiter. The key holds no plan: limits travel with
// each call, so that counters survive a change of plans.
func (c LimiterConfig) open(repl *caddy.Replacer) (*pooled[ratelimit.Limiter], error) {
	url := repl.ReplaceAll(c.Redis, "")
	if c.Replicas < 0 {
		return nil, fmt.Errorf("tenancy: replicas %d; expected at least 1", c.Replicas)
	}
	if c.Budget < 0 {
		return nil, fmt.Errorf("tenancy: budget %v; expected a positive duration", time.Duration(c.Budget))
	}
	if url == "" {
		return hold("limiter memory", func() (ratelimit.Limiter, error) {
			return ratelimit.NewMemory(ratelimit.MemoryOptions{}), nil
		})
	}
	key := fmt.Sprintf("limiter redis %q %q %d %d %d", url, c.Namespace, c.Budget, c.Replicas, c.LeaseFrom)
	return hold(key, func() (ratelimit.Limiter, error) {
		limiter, err := ratelimit.NewRedis(ratelimit.RedisOptions{
			URL: url, Namespace: c.Namespace, Budget: time.Duration(c.Budget), Replicas: c.Replicas,
			LeaseFrom: c.LeaseFrom,
		})
		if err != nil {
			return nil, fmt.Errorf("tenancy: %w", err)
		}
		return limiter, nil
	})
}

// announce says once, at the start, where requests are counted, and what is
// wrong with a Redis that is to count them. Redis is asked beside the start: a
// store that is down must not hold it up.
func (a *App) announce() {
	if !a.limiter.fresh {
		return
	}
	store, ok := a.limiter.value.(*ratelimit.Redis)
	if !ok {
		a.log.Info("counting requests in this process; set 'redis' to share limits between gateways")
		return
	}
	ratelimit.DiscardDriverLog() // it writes to standard error, past Caddy's log
	a.log.Info("counting requests in Redis", zap.Int("replicas", max(a.Limiter.Replicas, 1)))
	go func() {
		ctx, cancel := context.WithTimeout(a.ctx, storageWait)
		defer cancel()
		warnings, err := store.Check(ctx)
		if err != nil && a.ctx.Err() == nil {
			a.log.Warn("the Redis that counts requests does not answer; plans decide by their on_store_failure", zap.Error(err))
		}
		for _, w := range warnings {
			a.log.Warn("the Redis that counts requests is not set up for it", zap.String("warning", w))
		}
	}()
}
