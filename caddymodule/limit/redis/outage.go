package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
)

// A breaker keeps requests from waiting for a store that does not answer. It
// looks at the share of failures, because a busy gateway sees a few failures
// in any second, and at failures in a row, because an idle one sees few calls
// at all.
const (
	breakerWindow   = time.Second
	breakerMinCalls = 20
	breakerInARow   = 5
	breakerMinPause = 200 * time.Millisecond
	breakerMaxPause = 5 * time.Second
)

// breaker is safe for concurrent use. The zero value is closed: calls pass.
type breaker struct {
	mu       sync.Mutex
	since    time.Time // start of the present counting window
	calls    int
	failed   int
	inARow   int
	open     bool
	probing  bool
	pause    time.Duration
	nextTest time.Time
}

// allow tells whether a call may be made now. While the breaker is open, one
// call at a time is let through after a pause, to see whether the store is
// back; its report closes the breaker or doubles the pause.
func (b *breaker) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return true
	}
	if b.probing || now.Before(b.nextTest) {
		return false
	}
	b.probing = true
	return true
}

// report tells how an allowed call ended.
func (b *breaker) report(now time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ok {
		b.inARow = 0
		if b.open {
			b.open, b.probing = false, false
			b.since, b.calls, b.failed = now, 0, 0
			return
		}
	}
	if now.Sub(b.since) >= breakerWindow {
		b.since, b.calls, b.failed = now, 0, 0
	}
	b.calls++
	if ok {
		return
	}
	b.failed++
	b.inARow++
	switch {
	case b.open && b.probing:
		b.probing = false
		b.pause = min(2*b.pause, breakerMaxPause)
		b.schedule(now)
	case !b.open && (b.inARow >= breakerInARow || b.calls >= breakerMinCalls && 2*b.failed >= b.calls):
		b.open = true
		b.pause = breakerMinPause
		b.schedule(now)
	}
}

// schedule spreads the tests of many gateways over half a pause.
func (b *breaker) schedule(now time.Time) {
	b.nextTest = now.Add(b.pause/2 + rand.N(b.pause/2+1))
}

// forget takes an allowed call back that ended without saying anything about
// the store.
func (b *breaker) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
}

// degrade decides a request without the store.
func (r *Limiter) degrade(ctx context.Context, key limit.Key, p *limit.Policy, cost int64, cause error) (limit.Decision, error) {
	switch p.OnStoreFailure {
	case limit.Open:
		return limit.Decision{Allowed: true, Degraded: true}, nil
	case limit.LocalShare:
		d, err := r.local.Take(ctx, key, r.shareOf(p), cost)
		return limit.Decision{Allowed: d.Allowed, RetryAfter: d.RetryAfter, Slot: d.Slot, Degraded: true}, err
	}
	return limit.Decision{}, fmt.Errorf("asking the rate limit store: %w: %w", limit.ErrStoreUnavailable, cause)
}

// shareOf returns p with every quota divided by the number of gateways, at least
// 1. There is one for each policy that was ever needed without the store, since
// limiters outlive policies.
func (r *Limiter) shareOf(p *limit.Policy) *limit.Policy {
	if share, ok := r.shares.Load(p.Fingerprint()); ok {
		return share.(*limit.Policy)
	}
	limits := slices.Clone(p.Limits)
	for i := range limits {
		limits[i].N = max(1, limits[i].N/int64(r.opts.Replicas))
	}
	share, err := limit.NewPolicy(limits, p.OnStoreFailure)
	if err != nil {
		// Dividing keeps a checked quota within its bounds.
		panic(err)
	}
	r.shares.Store(p.Fingerprint(), share)
	return share
}

var (
	errBreakerOpen = errors.New("circuit breaker is open")
	errBudget      = errors.New("no answer within the wait budget")
)
