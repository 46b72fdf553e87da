package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is what a [Feed] returns after its Close.
var ErrClosed = errors.New("feed closed")

// reader makes a thing of what its source has.
type reader[T any] interface {
	// load reads the source; prev is what is in force. It may return [ErrUnchanged].
	load(ctx context.Context, prev *T) (reading[T], error)
	// save returns what to keep of the thing, in a form for encoding/gob; restore
	// makes the thing again, of what decode fills in.
	save(*T) any
	restore(decode func(into any) error, goodAt time.Time) (reading[T], error)
}

// reading is what one poll of the source brought.
type reading[T any] struct {
	value *T
	// news is what to tell subscribers: about the first value that was read, about
	// one from the store, or about any other.
	news func(first, restored bool) Event
	// urgent values refuse somebody whom the one before let pass.
	urgent bool
	// work is what it took to read, also if it was not believed.
	work time.Duration
}

// place is what all sources have.
type place interface {
	String() string
	Close() error
}

// FeedOptions say how a feed of values of type T works, whose sources and checks are
// of types S and C. Only Source is required.
type FeedOptions[S place, C, T any] struct {
	// Source has what is read. The feed closes it.
	Source S
	// Interval is the time between two polls of the source. If it is zero, a [Paced]
	// source says, and 500 ms for the others. Polls that find something new take a
	// tenth of a processor in the long run, also if that makes them fewer, unless the
	// source is a [Notifier] and asks for them.
	Interval time.Duration
	// Check, if not nil, says what else is wrong with a tenant or a key, and must not
	// change it. A key with an error is left out. Of a tenant, the fault's field
	// decides what that leads to, as it does for what the registry finds itself; it is
	// asked again only about a tenant that changes or has faults.
	Check C
	// Store, if not nil, keeps the last good value, so that a gateway that starts while
	// the source is down knows its tenants, and who was revoked by then.
	Store Store
	// Seed, if not nil, is the value that another feed of the same source has: this one
	// serves it at once and goes on from there. SeedGoodAt is that feed's GoodAt.
	Seed       *T
	SeedGoodAt time.Time
	// MaxStale is the age after which [Feed.Stale] says that the value should not be
	// believed any more; no age if it is zero.
	MaxStale time.Duration
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// Feed keeps a value that is read in the background: it polls the source and
// listens to it, keeps the last good value through every failure, saves it for the
// next start, and tells subscribers. It is safe for concurrent use. It holds no
// logger: those who want to know subscribe.
type Feed[T any] struct {
	what     string // for people
	source   place
	reader   reader[T]
	maxStale time.Duration
	now      func() time.Time

	current atomic.Pointer[T]
	goodAt  atomic.Pointer[time.Time] // when the source last said that it is up to date
	opened  time.Time

	cancel  context.CancelFunc
	done    chan struct{} // closed when the goroutine has ended
	first   chan struct{} // closed when there is a value
	refresh chan chan error
	subs    subscribers

	mu       sync.Mutex
	counts   counts
	closeErr error // written before the goroutine ends, read after
}

// counts say how a feed is doing.
type counts struct {
	loads, failures uint64
	lastErr         error
	failing         int // failures in a row
	since           time.Time
}

// openFeed starts the feed's goroutine; it does not wait for it. What is read is
// "what", and what is saved of it is "saved". Timeout bounds one poll.
func openFeed[S place, C, T any](what, saved string, timeout time.Duration, o FeedOptions[S, C, T], r reader[T]) *Feed[T] {
	ctx, cancel := context.WithCancel(context.Background())
	f := &Feed[T]{
		what: what, source: o.Source, reader: r, maxStale: o.MaxStale, now: o.Now, opened: o.Now(), cancel: cancel,
		done: make(chan struct{}), first: make(chan struct{}), refresh: make(chan chan error),
	}
	l := &loop[T]{Feed: f, interval: o.Interval, timeout: timeout, readAt: f.opened}
	if paced, ok := f.source.(Paced); ok && l.interval <= 0 {
		l.interval = paced.Interval()
	} else if l.interval <= 0 {
		l.interval = 500 * time.Millisecond
	}
	if n, ok := f.source.(Notifier); ok {
		l.notified = n.Changed()
	}
	if o.Seed != nil {
		f.current.Store(o.Seed)
		f.goodAt.Store(&o.SeedGoodAt)
		close(f.first)
		l.has = true
	}
	if o.Store != nil {
		l.writer = startWriter(o.Store, heading{What: saved, Source: o.Source.String()}, r.save, f.subs.stored, o.Now)
	}
	go l.run(ctx)
	return f
}

// Current returns the value of the last good poll, or the one that the feed began
// with: one atomic load. It is nil if there is none.
func (f *Feed[T]) Current() *T { return f.current.Load() }

// Age is the time since the source last said that the value is up to date, or
// since the feed was opened before that.
func (f *Feed[T]) Age() time.Duration {
	if at := f.GoodAt(); !at.IsZero() {
		return f.now().Sub(at)
	}
	return f.now().Sub(f.opened)
}

// GoodAt is when the source last said that the value is up to date; zero if it
// never has.
func (f *Feed[T]) GoodAt() time.Time {
	if at := f.goodAt.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// Stale reports whether the Age is more than MaxStale. It is exact and cheap
// enough for every request.
func (f *Feed[T]) Stale() bool { return f.maxStale > 0 && f.Age() > f.maxStale }

// LastError is why the last poll failed, nil if it did not.
func (f *Feed[T]) LastError() error { return f.counted().lastErr }

func (f *Feed[T]) counted() counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts
}

// String names the source.
func (f *Feed[T]) String() string { return f.source.String() }

// WaitFirst returns nil once there is a value, because a poll has succeeded or
// because one has failed and the [Store] had a value, or because the feed was
// opened with one. Otherwise it returns the context's error with the last failure,
// or [ErrClosed].
func (f *Feed[T]) WaitFirst(ctx context.Context) error {
	select {
	case <-f.first:
		return nil
	default:
	}
	select {
	case <-f.first:
		return nil
	case <-f.done:
		return ErrClosed
	case <-ctx.Done():
		err := ctx.Err()
		if last := f.LastError(); last != nil {
			err = fmt.Errorf("%w: %w", err, last)
		}
		return fmt.Errorf("waiting for %s from %s: %w", f.what, f, err)
	}
}

// Refresh reads the source now, as a whole and whatever it was last found to be,
// and returns what came of it: nil also if nothing was new. When the context ends
// first, the reading goes on without the caller.
func (f *Feed[T]) Refresh(ctx context.Context) error {
	reply := make(chan error, 1)
	asking := f.refresh // nil once the request is taken
	for {
		select {
		case asking <- reply:
			asking = nil
		case err := <-reply:
			return err
		case <-f.done:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Subscribe has call told of every [Event] from now on, and at once of the latest
// one of the source and a [StoreFailed] that still stands, so that a subscriber who
// comes late knows where things are. Calls come one at a time; none begins after
// cancel has returned. The feed waits for each, so call must not block it, nor call
// Refresh, Subscribe, Close or cancel.
func (f *Feed[T]) Subscribe(call func(Event)) (cancel func()) {
	f.subs.add(&call)
	return func() { f.subs.remove(&call) }
}

// Close ends the goroutine, waits for it, and closes the source. The last value
// stays. A second Close does nothing.
func (f *Feed[T]) Close() error {
	f.cancel()
	<-f.done
	return f.closeErr
}
