package redis

import (
	"context"
	"crypto/rand"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/memory"
)

// Limiter counts in a Redis that any number of gateways share.
type Limiter struct {
	opts   Options // with defaults in place of zeros
	client goredis.UniversalClient
	now    func() int64

	entries table
	groups  [groups]group
	tidying atomic.Bool
	slots   slotBook

	local  *memory.Limiter // while the store cannot be asked
	shares sync.Map        // fingerprint of a policy -> this gateway's part of it

	closed atomic.Bool

	calls, failures atomic.Uint64
}

// New reads the options. It does not connect: a store that is down when
// the gateway starts is treated like one that fails later.
func New(opts Options) (*Limiter, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	client, err := openRedis(opts.URL, opts.Budget)
	if err != nil {
		return nil, err
	}
	r := &Limiter{
		opts:    opts,
		client:  client,
		now:     monotonic(),
		entries: table{seed: maphash.MakeSeed()},
		slots:   slotBook{gateway: rand.Text()[:12], lifetime: slotLifetime, sets: make(map[string]*slotSet)},
		local:   memory.New(memory.Options{}),
	}
	for i := range r.groups {
		r.groups[i].r = r
	}
	return r, nil
}

// monotonic returns a clock in microseconds that only ever goes forward at the
// machine's rate. It starts above zero, which stands for never.
func monotonic() func() int64 {
	start := time.Now().Add(-time.Hour)
	return func() int64 { return int64(time.Since(start) / time.Microsecond) }
}

// Take implements limit.Limiter. It decides from permits in hand or from a recent
// refusal if it can, and otherwise waits for the store, at most for the budget
// or until ctx ends.
func (r *Limiter) Take(ctx context.Context, key limit.Key, p *limit.Policy, cost int64) (d limit.Decision, err error) {
	cost = max(1, cost)
	now := r.now()
	terms := r.termsOf(p)
	s := r.entries.shard(key)

	s.mu.Lock()
	e := s.entry(key, now)
	back := e.cache.adopt(now, p)
	if got := e.cache.take(now, p, cost, &d); got != askStore {
		if got == admitted && !e.calling && e.cache.low(now, terms) {
			r.schedule(e) //nolint:contextcheck // a call is everybody's: it must not end with this request
		}
		s.mu.Unlock()
		return d, nil
	}
	if !r.groupOf(key).breaker.allow(time.Now()) {
		s.settle(e, now, terms.hold)
		s.mu.Unlock()
		r.giveBack(key, back) //nolint:contextcheck // what is given back is not this request's to end
		return r.degrade(ctx, key, p, cost, errBreakerOpen)
	}
	w := &waiter{p: p, cost: cost, done: make(chan struct{})}
	e.waiters = append(e.waiters, w)
	if !e.calling {
		r.schedule(e) //nolint:contextcheck // as above
	}
	s.mu.Unlock()
	r.giveBack(key, back) //nolint:contextcheck // what is given back is not this request's to end
	return r.await(ctx, s, key, w)
}

// schedule queues a call for e, whose shard is locked.
func (r *Limiter) schedule(e *entry) {
	e.calling = true
	r.groupOf(e.key).push(job{entry: e})
}

// await waits for the answer to w.
func (r *Limiter) await(ctx context.Context, s *shard, key limit.Key, w *waiter) (limit.Decision, error) {
	timer := time.NewTimer(r.opts.Budget)
	defer timer.Stop()
	var err error
	select {
	case <-w.done:
	case <-timer.C:
		err = errBudget
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		s.mu.Lock()
		select {
		case <-w.done: // it came after all
			err = nil
		default:
			w.gone = true
		}
		s.mu.Unlock()
	}
	if err == nil {
		err = w.err
	}
	breaker := &r.groupOf(key).breaker
	switch {
	case err == nil:
		breaker.report(time.Now(), true)
		return w.d, nil
	case ctx.Err() != nil:
		// The client left; that says nothing about the store.
		breaker.forget()
	default:
		r.failures.Add(1)
		breaker.report(time.Now(), false)
	}
	return r.degrade(ctx, key, w.p, w.cost, err)
}

// Shared implements limit.Shared.
func (r *Limiter) Shared() bool { return true }

// StoreStats implements limit.Counted.
func (r *Limiter) StoreStats() limit.StoreStats {
	return limit.StoreStats{Calls: r.calls.Load(), Failures: r.failures.Load()}
}

// Check implements limit.Checker: it asks the server whether it is fit to be a
// limiter's store.
func (r *Limiter) Check(ctx context.Context) (warnings []string, err error) {
	info, err := r.client.InfoMap(ctx, "server", "memory").Result()
	if err != nil {
		return nil, fmt.Errorf("asking the rate limit store about itself: %w", err)
	}
	if v := info["Server"]["redis_version"]; v != "" && v[0] < '7' && v[1] == '.' {
		warnings = append(warnings, "the store is Redis "+v+", expected at least 7")
	}
	if p := info["Memory"]["maxmemory_policy"]; p != "" && p != "noeviction" {
		warnings = append(warnings, "the store's maxmemory-policy is "+p+", expected noeviction: an evicted key is a fresh quota")
	}
	return warnings, nil
}

var (
	_ limit.Shared  = (*Limiter)(nil)
	_ limit.Checker = (*Limiter)(nil)
	_ limit.Counted = (*Limiter)(nil)
)
