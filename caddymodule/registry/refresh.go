package registry

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// minGap is the least time between two looks that notifications cause, so that a
// storm of changes is read in one go.
const minGap = 50 * time.Millisecond

// restoreAfter is how long the first look may take if there is a store to fall
// back on.
const restoreAfter = 5 * time.Second

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
	var kept <-chan error
	if r.keeper != nil {
		kept = r.keeper.saves
		defer r.keeper.close()
	}
	r.start(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
			r.subs.greet()
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
		case err := <-kept:
			if err == nil {
				r.subs.store = nil
			} else {
				r.subs.publish(StoreFailed{Err: err})
			}
		}
	}
}

// start looks at the source for the first time, and in the store if that fails.
func (r *Registry) start(ctx context.Context) {
	limit := r.opts.Timeout
	if r.keeper != nil {
		limit = min(limit, restoreAfter)
	}
	if r.loadWithin(ctx, limit) == nil || r.keeper == nil || ctx.Err() != nil {
		return
	}
	var records []Record
	var goodAt time.Time
	found, err := r.keeper.restore(ctx, func(data []byte) (err error) {
		records, goodAt, err = decodeSnapshot(data, identity(r.opts.Source))
		return err
	})
	if err != nil {
		r.subs.publish(StoreFailed{Err: err})
	}
	if !found {
		return
	}
	s, diff := r.parser.build(emptySnapshot(), records, goodAt)
	r.stats.restored(goodAt)
	r.current.Store(s)
	e := newLoaded(s, diff, true)
	e.Restored = true
	r.subs.publish(e)
	close(r.first) // who has waited and then subscribes finds this event the latest
}

func (r *Registry) load(ctx context.Context) error { return r.loadWithin(ctx, r.opts.Timeout) }

// loadWithin looks at the source once and publishes what it finds.
func (r *Registry) loadWithin(ctx context.Context, limit time.Duration) error {
	prev := r.current.Load()
	var (
		next *Snapshot
		diff change
	)
	err := r.guard(ctx, limit, func(ctx context.Context) (err error) {
		next, diff, err = r.look(ctx, prev)
		return err
	})
	if ctx.Err() != nil {
		return ErrClosed // the failure is the closing's
	}
	at := r.now()
	switch {
	case errors.Is(err, ErrUnchanged) && r.loaded:
		r.stats.succeed(at, false)
		r.keep(prev, at, false)
		return nil
	case err != nil:
		r.subs.publish(r.stats.fail(err, at))
		return err
	}
	r.stats.succeed(at, true)
	first := !r.loaded
	r.loaded = true
	r.keep(next, at, refuses(prev, next, diff))
	if next == prev && !first {
		return nil
	}
	r.current.Store(next)
	r.subs.publish(newLoaded(next, diff, first))
	if prev.loadedAt.IsZero() {
		close(r.first)
	}
	return nil
}

func (r *Registry) keep(s *Snapshot, at time.Time, urgent bool) {
	if r.keeper != nil {
		r.keeper.keep(s, at, urgent)
	}
}

// look reads what is new, or everything if that does not do.
func (r *Registry) look(ctx context.Context, prev *Snapshot) (*Snapshot, change, error) {
	source, ok := r.opts.Source.(Incremental)
	if ok && r.loaded && r.now().Sub(r.fullAt) < r.opts.FullInterval {
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
func (r *Registry) guard(ctx context.Context, limit time.Duration, look func(context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading tenants from %s: panic: %v", r.opts.Source, p)
		}
	}()
	return look(ctx)
}
