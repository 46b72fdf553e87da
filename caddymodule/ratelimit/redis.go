package ratelimit

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Defaults of RedisOptions.
const (
	DefaultBudget    = 20 * time.Millisecond
	DefaultLeaseFrom = 5000
)

// RedisOptions configures NewRedis. Everything but URL may be left zero.
type RedisOptions struct {
	// URL names the server or servers: redis://, rediss://, unix://,
	// redis+sentinel://host,host/0?master_name=M or redis+cluster://host,host.
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

	// LeaseFrom is the quota from which permits are taken in advance. A
	// policy with a smaller one among its windows asks the store for every
	// request and reports exact numbers. 0 means DefaultLeaseFrom; below 0
	// nothing is ever taken in advance.
	LeaseFrom int64

	// MaxKeys bounds the keys remembered in this process, and those counted
	// while the store is down; 0 means DefaultMaxKeys.
	MaxKeys int
}

// Redis is a Limiter whose counts live in a Redis that any number of gateways
// share. The only clock that counts is the store's.
type Redis struct {
	client    redis.UniversalClient
	namespace string
	budget    time.Duration
	replicas  int64
	leaseFrom int64
	name      string // of this gateway, in slot names
	now       func() int64

	gate    gate
	groups  []*group
	local   *Memory
	janitor janitor
	slots   slotBook

	closing atomic.Bool
	closed  sync.Once
	running sync.WaitGroup // senders

	calls, pipelines, failures, degraded atomic.Uint64
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
		return nil, errors.New("reading Redis options: expected budget and replicas not to be negative")
	}
	if opts.Budget == 0 {
		opts.Budget = DefaultBudget
	}
	if opts.LeaseFrom == 0 {
		opts.LeaseFrom = DefaultLeaseFrom
	}
	if opts.MaxKeys <= 0 {
		opts.MaxKeys = DefaultMaxKeys
	}
	client, err := openRedis(opts.URL, opts.Budget)
	if err != nil {
		return nil, err
	}
	r := &Redis{
		client:    client,
		namespace: opts.Namespace,
		budget:    opts.Budget,
		replicas:  int64(max(1, opts.Replicas)),
		leaseFrom: opts.LeaseFrom,
		name:      randomName(),
		now:       monotonic(),
		gate:      gate{perMax: max(1, opts.MaxKeys/shards)},
		local:     NewMemory(MemoryOptions{MaxKeys: opts.MaxKeys}),
	}
	groups := 1
	if _, cluster := client.(*redis.ClusterClient); cluster {
		groups = clusterGroups
	}
	for range groups {
		r.groups = append(r.groups, &group{r: r})
	}
	return r, nil
}

func randomName() string {
	var b [6]byte
	// It never fails: see crypto/rand.
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// holdFor is how long permits of p may be held, or 0 if p is decided request
// by request.
func (r *Redis) holdFor(p *Policy) int64 {
	if r.leaseFrom < 0 || p.smallest < r.leaseFrom {
		return 0
	}
	return p.hold
}

// Take implements Limiter. It decides from permits in hand or from a recent
// refusal if it can, and otherwise waits for the store, at most for the budget
// or until ctx ends.
func (r *Redis) Take(ctx context.Context, key Key, p *Policy, cost int64) (d Decision, err error) {
	cost = max(1, cost)
	now := r.now()
	hold := r.holdFor(p)
	s := r.gate.shard(key)

	s.mu.Lock()
	e := s.entry(key, now)
	back := e.purse.adopt(now, p)
	if got := e.purse.take(now, p, cost, &d); got != askStore {
		if got == admitted && !e.calling && e.purse.low(now, p, hold) {
			r.schedule(e) //nolint:contextcheck // a call is everybody's: it must not end with this request
		}
		s.mu.Unlock()
		return d, nil
	}
	if !r.groupOf(key).breaker.allow(time.Now()) {
		s.settle(e, now, hold, r.gate.perMax)
		s.mu.Unlock()
		r.giveBack(key, back)
		return r.degrade(ctx, key, p, cost, errBreakerOpen)
	}
	w := &waiter{p: p, cost: cost, done: make(chan struct{})}
	e.waiters = append(e.waiters, w)
	if !e.calling {
		r.schedule(e) //nolint:contextcheck // as above
	}
	s.mu.Unlock()
	r.giveBack(key, back)
	return r.await(ctx, s, key, w)
}

// schedule queues a call for e, whose shard is locked.
func (r *Redis) schedule(e *entry) {
	e.calling = true
	r.groupOf(e.key).push(job{entry: e})
}

// await waits for the answer to w.
func (r *Redis) await(ctx context.Context, s *gateShard, key Key, w *waiter) (Decision, error) {
	timer := time.NewTimer(r.budget)
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

var (
	errBreakerOpen = errors.New("circuit breaker is open")
	errBudget      = errors.New("no answer within the wait budget")
)

// degrade decides a request without the store.
func (r *Redis) degrade(ctx context.Context, key Key, p *Policy, cost int64, cause error) (Decision, error) {
	r.degraded.Add(1)
	switch p.OnStoreFailure {
	case Open:
		return Decision{Allowed: true, Degraded: true}, nil
	case LocalShare:
		d, err := r.local.Take(ctx, key, p.forReplicas(r.replicas), cost)
		return Decision{Allowed: d.Allowed, RetryAfter: d.RetryAfter, Slot: d.Slot, Degraded: true}, err
	}
	return Decision{}, fmt.Errorf("asking the rate limit store: %w: %w", ErrStoreUnavailable, cause)
}

var _ Limiter = (*Redis)(nil)
