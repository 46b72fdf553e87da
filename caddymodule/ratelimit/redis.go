package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisOptions configures NewRedis.
type RedisOptions struct {
	// URL names the server or servers; see openRedis for its forms:
	// redis://, rediss://, unix://, redis+sentinel://host,host/0?master_name=M
	// and redis+cluster://host,host.
	URL string

	// Namespace starts every key, so that several gateways' counts can live
	// in one store. Letters, digits and "-_.:/"; empty means "ratelimit".
	Namespace string

	// Budget is the longest a request waits for the store before the
	// policy's OnStoreFailure decides it; 0 means DefaultBudget.
	Budget time.Duration

	// Replicas is the number of gateways that share the store. While it
	// cannot be reached and the policy says LocalShare, each admits its part
	// of the quota; 0 means 1.
	Replicas int
}

// DefaultBudget is how long a request waits for the store.
const DefaultBudget = 20 * time.Millisecond

// RedisStats counts what happened since the start.
type RedisStats struct {
	Calls    uint64 // scripts sent to the store
	Failures uint64 // scripts without an answer in time, or with an error
	Degraded uint64 // requests that the failure policy decided
}

// Redis is a Limiter whose counts live in a Redis that any number of gateways
// share. The clock is the store's.
type Redis struct {
	client    redis.UniversalClient
	namespace string
	budget    time.Duration
	replicas  int64
	local     *Memory
	breaker   breaker
	closed    atomic.Bool

	calls, failures, degraded atomic.Uint64
}

// NewRedis reads the options. It does not connect: a store that is down when
// the gateway starts is treated like one that fails later.
func NewRedis(opts RedisOptions) (*Redis, error) {
	if opts.Namespace == "" {
		opts.Namespace = "ratelimit"
	}
	if !checkNamespace(opts.Namespace) {
		return nil, fmt.Errorf(`reading Redis namespace %q: expected at most 64 letters, digits and "-_.:/"`, opts.Namespace)
	}
	if opts.Budget < 0 || opts.Replicas < 0 {
		return nil, fmt.Errorf("reading Redis options: expected budget and replicas not to be negative")
	}
	if opts.Budget == 0 {
		opts.Budget = DefaultBudget
	}
	client, err := openRedis(opts.URL)
	if err != nil {
		return nil, err
	}
	r := &Redis{
		client:    client,
		namespace: opts.Namespace,
		budget:    opts.Budget,
		replicas:  int64(max(1, opts.Replicas)),
		local:     NewMemory(MemoryOptions{}),
	}
	return r, nil
}

// Take implements Limiter. It asks the store once and waits at most the
// budget, or until ctx ends if that is sooner.
func (r *Redis) Take(ctx context.Context, key Key, p *Policy, cost int64) (Decision, error) {
	cost = max(1, cost)
	if r.breaker.allow(time.Now()) {
		var v verdict
		err := r.acquire(ctx, key, p, ask{need: cost, unit: cost, want: cost}, &v)
		r.breaker.report(time.Now(), err == nil)
		if err == nil {
			return v.decision(p, v.granted == cost), nil
		}
		r.failures.Add(1)
		if p.OnStoreFailure == Deny {
			r.degraded.Add(1)
			return Decision{}, fmt.Errorf("asking the rate limit store: %w: %w", ErrStoreUnavailable, err)
		}
	}
	return r.degrade(ctx, key, p, cost)
}

func (r *Redis) acquire(ctx context.Context, key Key, p *Policy, a ask, v *verdict) error {
	ctx, cancel := context.WithTimeout(ctx, r.budget)
	defer cancel()
	r.calls.Add(1)
	keys, args := acquireKeys(r.namespace, key, p), acquireArgs(p, a, "")
	raw, err := acquireScript.EvalSha(ctx, r.client, keys, args...).Result()
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		raw, err = acquireScript.Eval(ctx, r.client, keys, args...).Result()
	}
	if err != nil {
		return err
	}
	_, err = parseAcquire(p, raw, v)
	return err
}

var errBreakerOpen = errors.New("circuit breaker is open")

// degrade decides a request without the store.
func (r *Redis) degrade(ctx context.Context, key Key, p *Policy, cost int64) (Decision, error) {
	r.degraded.Add(1)
	switch p.OnStoreFailure {
	case Open:
		return Decision{Allowed: true, Degraded: true}, nil
	case LocalShare:
		d, err := r.local.Take(ctx, key, p.forReplicas(r.replicas), cost)
		return Decision{Allowed: d.Allowed, RetryAfter: d.RetryAfter, Degraded: true}, err
	}
	return Decision{}, fmt.Errorf("asking the rate limit store: %w: %w", ErrStoreUnavailable, errBreakerOpen)
}

// Stats returns the counters.
func (r *Redis) Stats() RedisStats {
	return RedisStats{Calls: r.calls.Load(), Failures: r.failures.Load(), Degraded: r.degraded.Load()}
}

// Close implements Limiter: it closes the connections.
func (r *Redis) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	if err := r.client.Close(); err != nil {
		return fmt.Errorf("closing the rate limit store: %w", err)
	}
	return nil
}

var _ Limiter = (*Redis)(nil)
