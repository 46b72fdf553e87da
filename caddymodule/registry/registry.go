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

	fullAt time.Time // of the last full load
}

// minGap is the least time between two looks that notifications cause, so that a
// storm of changes is read in one go.
const minGap = 50 * time.Millisecond

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
	go r.run(ctx)
	return r
}

// Snapshot returns the tenants as of the last good load: one atomic load, never
// nil, empty before the first.
func (r *Registry) Snapshot() *Snapshot { return r.current.Load() }

// WaitFirst returns nil once a load has succeeded, and otherwise the context's
// error with the last failure, or [ErrClosed].
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

func (r *Registry) run(ctx context.Context) {
	defer close(r.done)
	defer func() { r.stats.closeErr = r.opts.Source.Close() }()
	var notified <-chan struct{}
	if n, ok := r.opts.Source.(Notifier); ok {
		notified = n.Changed()
	}
	tick := time.NewTicker(r.opts.Interval)
	defer tick.Stop()
	gap := time.NewTimer(0)
	defer gap.Stop()
	changed := notified // nil while the gap lasts
	_ = r.load(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
			r.subs.replay()
		case reply := <-r.refresh:
			reply <- r.load(ctx)
		case <-changed:
			_ = r.load(ctx)
			changed = nil
			gap.Reset(minGap)
		case <-gap.C:
			changed = notified
		case <-tick.C:
			_ = r.load(ctx)
		}
	}
}

// load looks at the source once and publishes what it finds.
func (r *Registry) load(ctx context.Context) error {
	prev := r.current.Load()
	first := prev.loadedAt.IsZero()
	var (
		next *Snapshot
		diff change
	)
	err := r.guard(ctx, func(ctx context.Context) (err error) {
		next, diff, err = r.look(ctx, prev, first)
		return err
	})
	if ctx.Err() != nil {
		return ErrClosed // the failure is the closing's
	}
	at := r.now()
	switch {
	case errors.Is(err, ErrUnchanged) && !first:
		r.stats.succeed(at, false)
		return nil
	case err != nil:
		r.subs.publish(r.stats.fail(err, at))
		return err
	}
	r.stats.succeed(at, true)
	if next == prev {
		return nil
	}
	r.current.Store(next)
	if first {
		close(r.first)
	}
	r.subs.publish(newLoaded(next, diff, first))
	return nil
}

// look reads what is new, or everything if that does not do.
func (r *Registry) look(ctx context.Context, prev *Snapshot, first bool) (*Snapshot, change, error) {
	source, ok := r.opts.Source.(Incremental)
	if ok && !first && r.now().Sub(r.fullAt) < r.opts.FullInterval {
		changes, err := source.LoadChanges(ctx)
		if err == nil {
			if next, diff, ok := r.parser.apply(prev, changes, r.now()); ok {
				return next, diff, nil
			}
		} else if !errors.Is(err, ErrFull) {
			return nil, change{}, err
		}
	}
	records, err := r.opts.Source.Load(ctx)
	if err == nil || errors.Is(err, ErrUnchanged) {
		r.fullAt = r.now()
	}
	if err != nil {
		return nil, change{}, err
	}
	r.stats.readAll()
	next, diff := r.parser.build(prev, records, r.fullAt)
	return next, diff, nil
}

// guard bounds a look and turns a panic into an error: a driver that chokes on a
// damaged file must not take the gateway with it.
func (r *Registry) guard(ctx context.Context, look func(context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading tenants from %s: panic: %v", r.opts.Source, p)
		}
	}()
	return look(ctx)
}
