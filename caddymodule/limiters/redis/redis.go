// Package redis is the module tenancy.limiters.redis, which counts requests in a
// Redis that several gateways share.
package redis

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redis"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
)

func init() { caddy.RegisterModule(new(Limiter)) }

// Limiter counts requests in a Redis, so that the limits hold over all gateways
// that use it with the same namespace.
type Limiter struct {
	// The Redis to share limits through: `redis://`, `rediss://`, `unix://`,
	// `redis+sentinel://`, `redis+cluster://`. Use a placeholder such as
	// `{env.REDIS_URL}` to keep the password out of the configuration. Empty,
	// also after placeholders: requests are counted in this process.
	URL string `json:"url,omitempty"`

	// A prefix for the keys, so that several deployments can share a Redis: at most
	// 64 letters, digits and `-_.:/`. Default: `ratelimit`.
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

	options redis.Options
}

// CaddyModule returns the module's identity.
func (*Limiter) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tenancy.limiters.redis", New: func() caddy.Module { return new(Limiter) }}
}

// Provision replaces the placeholders and checks the options.
func (l *Limiter) Provision(caddy.Context) error {
	repl := caddy.NewReplacer()
	l.options = redis.Options{
		URL: repl.ReplaceAll(l.URL, ""), Namespace: repl.ReplaceAll(l.Namespace, ""),
		Budget: time.Duration(l.Budget), Replicas: l.Replicas, LeaseFrom: l.LeaseFrom,
	}
	if l.options.URL == "" {
		return nil
	}
	limiter, err := l.open()
	if err != nil {
		return err
	}
	return limiter.Close()
}

// OpenLimiter implements tenancy.LimiterModule; it returns nil if the URL is empty.
func (l *Limiter) OpenLimiter() (limit.Limiter, error) {
	if l.options.URL == "" {
		return nil, nil // the app counts in this process
	}
	redis.DiscardDriverLog() // it writes to standard error, past Caddy's log
	return l.open()
}

// open makes a limiter. It does not connect.
func (l *Limiter) open() (limit.Limiter, error) {
	limiter, err := redis.New(l.options)
	if err != nil {
		return nil, fmt.Errorf("tenancy: %w", err)
	}
	return limiter, nil
}

var (
	_ caddy.Provisioner     = (*Limiter)(nil)
	_ tenancy.LimiterModule = (*Limiter)(nil)
)
