package registry

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// ErrClosed is what a [Registry] returns after its Close.
var ErrClosed = errors.New("registry closed")

// Options says how a [Registry] works. Only Source is required.
type Options struct {
	// Source has the tenants. The registry closes it.
	Source Source
	// Interval is the time between two looks at the source. If it is zero, a [Paced]
	// source says, and 500 ms for the others. Sources are made so that a look at
	// unchanged tenants costs next to nothing.
	Interval time.Duration
	// FullInterval is the time after which an [Incremental] source is read as a
	// whole, in case that a change went by unseen; 10 min if it is zero.
	FullInterval time.Duration
	// Timeout bounds one look at the source; 30 s if it is zero.
	Timeout time.Duration
	// Store, if not nil, keeps the last good snapshot, so that a gateway that starts
	// while the source is down knows its tenants.
	Store Store
	// MaxStale is the age after which [Registry.Stale] says that the snapshot should
	// not be believed any more; no age if it is zero.
	MaxStale time.Duration
	// Check, if not nil, says what else is wrong with a tenant, as with its Limits.
	// A tenant that fails is left out and named. It is called again only when the
	// tenant changes.
	Check func(*tenant.Tenant) error
	// Now is the clock for LoadedAt and Stats; time.Now if nil.
	Now func() time.Time
}

// Registry keeps the current [Snapshot]. It is safe for concurrent use. It holds
// no logger: those who want to know subscribe.
type Registry struct {
	opts   Options
	parser *parser
	now    func() time.Time

	current atomic.Pointer[Snapshot]

	cancel  context.CancelFunc
	done    chan struct{} // closed when the goroutine has ended
	first   chan struct{} // closed after the first successful load
	refresh chan chan error
	wake    chan struct{} // there is a new subscriber

	subs  subscribers
	stats counters

	keeper *keeper[Snapshot] // nil without a store

	loaded bool      // a look has succeeded
	fullAt time.Time // of the last full load
}

// Open starts a goroutine that reads the source at once and then keeps the
// snapshot up to date until Close. It neither waits for the first load nor fails
// if there is none: use [Registry.WaitFirst].
func Open(opts Options) *Registry {
	if opts.Interval <= 0 {
		opts.Interval = 500 * time.Millisecond
		if paced, ok := opts.Source.(Paced); ok {
			opts.Interval = paced.Interval()
		}
	}
	if opts.FullInterval <= 0 {
		opts.FullInterval = 10 * time.Minute
	}
	if opts.Timeout <= 0 {
		opts.Timeout = 30 * time.Second
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Registry{
		opts:    opts,
		parser:  newParser(opts.Check),
		now:     opts.Now,
		cancel:  cancel,
		done:    make(chan struct{}),
		first:   make(chan struct{}),
		refresh: make(chan chan error),
		wake:    make(chan struct{}, 1),
	}
	r.current.Store(emptySnapshot())
	r.stats.opened = r.now()
	if opts.Store != nil {
		source := identity(opts.Source)
		keeper := &keeper[Snapshot]{store: opts.Store, format: snapshotFormat, source: source, what: "the tenants' snapshot", now: opts.Now}
		keeper.encode = func(s *Snapshot, goodAt time.Time) []byte { return encodeSnapshot(s, source, goodAt) }
		r.keeper = keeper.start()
	}
	go r.run(ctx)
	return r
}

// Snapshot returns the tenants as of the last good load: one atomic load, never
// nil, empty before the first.
func (r *Registry) Snapshot() *Snapshot { return r.current.Load() }

// Stale reports whether the source has not said for [Options].MaxStale that the
// snapshot is up to date. It is exact and cheap enough for every request.
func (r *Registry) Stale() bool {
	return r.opts.MaxStale > 0 && r.now().Sub(r.stats.since()) > r.opts.MaxStale
}

// WaitFirst returns nil once there is a snapshot, because a load has succeeded or
// because one has failed and the [Store] had a snapshot. Otherwise it returns the
// context's error with the last failure, or [ErrClosed].
func (r *Registry) WaitFirst(ctx context.Context) error {
	select {
	case <-r.first:
		return nil
	default:
	}
	select {
	case <-r.first:
		return nil
	case <-r.done:
		return ErrClosed
	case <-ctx.Done():
		if err := r.Stats().LastError; err != nil {
			return fmt.Errorf("waiting for tenants from %s: %w: %w", r.opts.Source, ctx.Err(), err)
		}
		return fmt.Errorf("waiting for tenants from %s: %w", r.opts.Source, ctx.Err())
	}
}

// Refresh looks at the source now and returns what came of it: nil also if
// nothing was new. When the context ends first, the look goes on without the
// caller.
func (r *Registry) Refresh(ctx context.Context) error {
	reply := make(chan error, 1)
	select {
	case r.refresh <- reply:
	case <-r.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-reply:
		return err
	case <-r.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the goroutine, waits for it, and closes the source. The last
// snapshot stays. A second Close does nothing.
func (r *Registry) Close() error {
	r.cancel()
	<-r.done
	return r.stats.closeErr
}
