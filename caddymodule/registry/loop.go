package registry

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// minGap and maxGap bound the time after a poll that a notification caused until
	// the next one, so that a storm of changes is read in one go.
	minGap = 50 * time.Millisecond
	maxGap = 150 * time.Millisecond
	// restoreAfter is how long the store may take at a start, and then the first poll
	// if there is a store to fall back on.
	restoreAfter = 5 * time.Second
	// One in workShare of a processor's time is for reading, as long as nobody asks for
	// it. What was not used in workSaved is kept, so that single changes do not wait.
	workShare = 10
	workSaved = 10 * time.Second
	// forgetAfter is when a source is told to take nothing for granted, in case that a
	// change went by unseen.
	forgetAfter = 10 * time.Minute
	// maxBackoff bounds the time between two polls of a source that fails, which
	// doubles with every failure.
	maxBackoff = 2 * time.Second
)

// loop is the goroutine of a feed.
type loop[T any] struct {
	*Feed[T]
	interval, timeout time.Duration
	notified          <-chan struct{}    // nil if the source does not tell of changes
	writer            *snapshotWriter[T] // nil without a store

	base   *T   // what the store had, until there is a value in force
	has    bool // there is a value in force
	loaded bool // a poll has succeeded

	next   time.Time // when the next scheduled poll is
	paid   time.Time // until when the time for reading is used up
	readAt time.Time // when the source was last told to forget, by the feed's clock
}

func (l *loop[T]) run(ctx context.Context) {
	defer close(l.done)
	defer func() { l.closeErr = l.source.Close() }()
	if l.writer != nil {
		defer l.writer.close()
	}
	l.start(ctx)
	timer, gap := time.NewTimer(time.Until(l.next)), time.NewTimer(0)
	defer timer.Stop()
	defer gap.Stop()
	changed := l.notified // nil while the gap lasts
	for {
		select {
		case <-ctx.Done():
			return
		case reply := <-l.refresh:
			l.forget()
			reply <- l.poll(ctx, l.timeout)
		case <-changed:
			_ = l.poll(ctx, l.timeout)
			changed = nil
			gap.Reset(min(max(time.Until(l.paid), minGap), maxGap))
		case <-gap.C:
			changed = l.notified
		case <-timer.C:
			if l.now().Sub(l.readAt) >= forgetAfter {
				l.forget()
			}
			_ = l.poll(ctx, l.timeout)
		}
		timer.Reset(time.Until(l.next))
	}
}

// forget has the next poll read, whatever the source believes.
func (l *loop[T]) forget() {
	l.readAt = l.now()
	if s, ok := l.source.(Forgetful); ok {
		s.Forget()
	}
}

// start polls for the first time, on top of what the store has: so a record that is
// faulty now counts as it did before the restart. If that fails, what the store has
// is in force.
func (l *loop[T]) start(ctx context.Context) {
	limit := l.timeout
	var saved reading[T]
	var goodAt time.Time
	if l.writer != nil && !l.has {
		limit = min(limit, restoreAfter)
		var err error
		saved, goodAt, err = l.writer.restore(ctx, l.reader.restore)
		l.subs.stored(err)
	}
	l.base = saved.value
	if l.poll(ctx, limit) == nil || saved.value == nil || ctx.Err() != nil {
		return
	}
	l.goodAt.Store(&goodAt)
	l.current.Store(saved.value)
	l.subs.publish(saved.news(false, true))
	l.has = true
	close(l.first) // who has waited and then subscribes finds this event the latest
}

// poll asks the source once and publishes what it finds.
func (l *loop[T]) poll(ctx context.Context, limit time.Duration) error {
	next := time.Now().Add(l.interval)
	prev := l.current.Load()
	if prev == nil {
		prev = l.base
	}
	got, err := l.read(ctx, limit, prev)
	if ctx.Err() != nil {
		return ErrClosed // the failure is the closing's
	}
	at := l.now()
	l.paid = latest(l.paid, time.Now().Add(-workSaved)).Add(workShare * got.work)
	l.next = latest(l.paid, next)
	switch {
	case errors.Is(err, ErrUnchanged) && l.loaded:
		got.value = prev
	case err != nil:
		l.failed(err, at)
		return err
	}
	changed := got.value != l.current.Swap(got.value)
	l.succeeded(at, err == nil)
	if l.writer != nil {
		l.writer.write(got.value, at, got.urgent)
	}
	first := !l.loaded
	l.loaded = true
	if !changed && !first {
		return nil
	}
	l.subs.publish(got.news(first, false))
	if !l.has {
		l.has = true
		close(l.first)
	}
	return nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// read bounds a read and turns a panic into an error: a driver that chokes on a
// damaged file must not take the gateway with it.
func (l *loop[T]) read(ctx context.Context, limit time.Duration, prev *T) (got reading[T], err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading %s from %s: panic: %v", l.what, l, p)
		}
	}()
	return l.reader.load(ctx, prev)
}

func (l *loop[T]) succeeded(at time.Time, loaded bool) {
	l.goodAt.Store(&at)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.lastErr, l.counts.failing = nil, 0
	if loaded {
		l.counts.loads++
	}
}

func (l *loop[T]) failed(err error, at time.Time) {
	l.mu.Lock()
	c := &l.counts
	if c.failing == 0 {
		c.since = at
	}
	c.failing++
	c.failures++
	c.lastErr = err
	e := Failed{Err: err, Since: c.since, Count: c.failing, LoadedAt: l.GoodAt()}
	l.mu.Unlock()
	backoff := min(l.interval<<min(e.Count-1, 16), max(maxBackoff, l.interval))
	l.next = latest(l.paid, time.Now().Add(backoff))
	l.subs.publish(e)
}
