package registry

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// CredentialSource reads API keys and revocations from where they are kept. A
// [CredentialFeed] never calls its methods at the same time, except for String.
type CredentialSource interface {
	// Load reads everything, or returns [ErrUnchanged] when nothing has changed
	// since its last success. After any other error it must be able to recover
	// by itself in a later call. A key that check finds fault with is left out.
	Load(ctx context.Context, check func(*Key) error) (*Credentials, error)
	// Interval is the time between two looks that suits the source: at most half
	// a second, so that a revocation is in force within one.
	Interval() time.Duration
	// String names the source for logs, without any secret.
	String() string
	// Close releases what the source holds. No method is called after it.
	Close() error
}

// CredentialOptions say how a [CredentialFeed] works. Only Source is required.
type CredentialOptions struct {
	// Source has the credentials. The feed closes it.
	Source CredentialSource
	// Interval is the time between two looks; the source's own if it is zero.
	Interval time.Duration
	// Timeout bounds one look; 10 s if it is zero.
	Timeout time.Duration
	// Check, if not nil, says what else is wrong with a key.
	Check func(*Key) error
	// Store, if not nil, keeps the last good credentials, so that a gateway that
	// starts while the source is down knows them, and who was revoked by then.
	Store Store
	// MaxStale is the age after which [CredentialFeed.Stale] says that they should
	// not be believed any more; no age if it is zero.
	MaxStale time.Duration
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// CredentialsLoaded says that other credentials are in force.
type CredentialsLoaded struct {
	// Restored is true for those from the [Store], because the source is down.
	Restored          bool
	Keys, Revocations int
	// Problems are the faults in the records, the first [MaxProblems] of them, and
	// ProblemCount counts all.
	Problems     []Problem
	ProblemCount int
}

func (CredentialsLoaded) event() {}

// CredentialFeed keeps the current [Credentials]. A source that fails leaves the
// last good ones in force. It is safe for concurrent use and holds no logger.
type CredentialFeed struct {
	opts    CredentialOptions
	current atomic.Pointer[Credentials]
	cancel  context.CancelFunc
	done    chan struct{}
	first   chan struct{} // closed after the first good look
	wake    chan struct{} // there is a new subscriber
	subs    subscribers
	stats   counters
	keeper  *keeper[Credentials] // nil without a store
	loaded  bool                 // a look has succeeded
}

// OpenCredentials starts a goroutine that reads the source at once and then
// keeps up with it until Close. It does not wait.
func OpenCredentials(o CredentialOptions) *CredentialFeed {
	if o.Interval <= 0 {
		o.Interval = o.Source.Interval()
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &CredentialFeed{opts: o, cancel: cancel, done: make(chan struct{}), first: make(chan struct{}), wake: make(chan struct{}, 1)}
	f.stats.opened = o.Now()
	if o.Store != nil {
		source := o.Source.String()
		keeper := &keeper[Credentials]{store: o.Store, format: credentialFormat, source: source, what: "the credentials", now: o.Now}
		keeper.encode = func(c *Credentials, goodAt time.Time) []byte { return encodeCredentials(c, source, goodAt) }
		f.keeper = keeper.start()
	}
	go f.run(ctx)
	return f
}

// Current returns the credentials of the last good look, or from the store if
// there was none: one atomic load. It is nil before that: then nothing can be said
// about any credential.
func (f *CredentialFeed) Current() *Credentials { return f.current.Load() }

// Stale reports whether the source has not said for
// [CredentialOptions].MaxStale that the credentials are up to date.
func (f *CredentialFeed) Stale() bool {
	return f.opts.MaxStale > 0 && f.Age() > f.opts.MaxStale
}

// Age is the time since the source last said that the credentials are up to
// date, or since Open before that.
func (f *CredentialFeed) Age() time.Duration { return f.opts.Now().Sub(f.stats.since()) }

// WaitFirst returns nil when there are credentials, or the context's error.
func (f *CredentialFeed) WaitFirst(ctx context.Context) error {
	select {
	case <-f.first:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// LastError is why the last look failed, nil if it did not.
func (f *CredentialFeed) LastError() error {
	f.stats.mu.Lock()
	defer f.stats.mu.Unlock()
	return f.stats.lastErr
}

// String names the source.
func (f *CredentialFeed) String() string { return f.opts.Source.String() }

// Subscribe has call told of every [CredentialsLoaded] and [Failed] as
// [Registry.Subscribe] has it.
func (f *CredentialFeed) Subscribe(call func(Event)) (cancel func()) {
	s := &subscriber{call: call}
	f.subs.add(s)
	select {
	case f.wake <- struct{}{}:
	default:
	}
	return func() { f.subs.remove(s) }
}

// Close ends the goroutine, waits for it and closes the source. The last
// credentials stay. A second Close does nothing.
func (f *CredentialFeed) Close() error {
	f.cancel()
	<-f.done
	return f.stats.closeErr
}

func (f *CredentialFeed) run(ctx context.Context) {
	defer close(f.done)
	defer func() { f.stats.closeErr = f.opts.Source.Close() }()
	tick := time.NewTicker(f.opts.Interval)
	defer tick.Stop()
	var saves <-chan error
	if f.keeper != nil {
		saves = f.keeper.saves
		defer f.keeper.close()
	}
	f.start(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
			f.subs.greet()
		case <-tick.C:
			f.look(ctx, f.opts.Timeout)
		case err := <-saves:
			if err == nil {
				f.subs.store = nil
			} else {
				f.subs.publish(StoreFailed{Err: err})
			}
		}
	}
}

// start looks at the source for the first time, and in the store if that fails.
func (f *CredentialFeed) start(ctx context.Context) {
	limit := f.opts.Timeout
	if f.keeper != nil {
		limit = min(limit, restoreAfter)
	}
	f.look(ctx, limit)
	if f.loaded || f.keeper == nil || ctx.Err() != nil {
		return
	}
	var restored *Credentials
	var goodAt time.Time
	found, err := f.keeper.restore(ctx, func(data []byte) (err error) {
		restored, goodAt, err = decodeCredentials(data, f.opts.Source.String(), f.opts.Check)
		return err
	})
	if err != nil {
		f.subs.publish(StoreFailed{Err: err})
	}
	if !found {
		return
	}
	f.stats.restored(goodAt)
	f.current.Store(restored)
	f.subs.publish(CredentialsLoaded{Restored: true, Keys: restored.Keys(), Revocations: restored.Revocations()})
	close(f.first) // who has waited and then subscribes finds this event the latest
}

// look reads the source once.
func (f *CredentialFeed) look(ctx context.Context, limit time.Duration) {
	next, err := f.load(ctx, limit)
	if ctx.Err() != nil {
		return // the failure is the closing's
	}
	at := f.opts.Now()
	switch {
	case errors.Is(err, ErrUnchanged) && f.loaded:
		f.stats.succeed(at, false)
		f.keep(f.current.Load(), at, false)
	case err != nil:
		f.subs.publish(f.stats.fail(err, at))
	default:
		f.stats.succeed(at, true)
		f.loaded = true
		next.at = at
		prev := f.current.Swap(next)
		f.keep(next, at, withdraws(prev, next))
		f.subs.publish(CredentialsLoaded{Keys: next.Keys(), Revocations: next.Revocations(), Problems: next.problems, ProblemCount: next.faults})
		if prev == nil {
			close(f.first)
		}
	}
}

func (f *CredentialFeed) keep(c *Credentials, at time.Time, urgent bool) {
	if f.keeper != nil {
		f.keeper.keep(c, at, urgent)
	}
}

// load bounds a look and turns a panic into an error, as [Registry] does.
func (f *CredentialFeed) load(ctx context.Context, limit time.Duration) (next *Credentials, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading credentials from %s: panic: %v", f.opts.Source, p)
		}
	}()
	return f.opts.Source.Load(ctx, f.opts.Check)
}
