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
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// CredentialsLoaded says that other credentials are in force.
type CredentialsLoaded struct {
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
	go f.run(ctx)
	return f
}

// Current returns the credentials of the last good look: one atomic load. It is
// nil before the first: then nothing can be said about any credential.
func (f *CredentialFeed) Current() *Credentials { return f.current.Load() }

// WaitFirst returns nil after the first good look, or the context's error.
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
	f.look(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
			f.subs.greet()
		case <-tick.C:
			f.look(ctx)
		}
	}
}

// look reads the source once.
func (f *CredentialFeed) look(ctx context.Context) {
	next, err := f.load(ctx)
	if ctx.Err() != nil {
		return // the failure is the closing's
	}
	at := f.opts.Now()
	switch {
	case errors.Is(err, ErrUnchanged) && f.current.Load() != nil:
		f.stats.succeed(at, false)
	case err != nil:
		f.subs.publish(f.stats.fail(err, at))
	default:
		f.stats.succeed(at, true)
		next.at = at
		if f.current.Swap(next) == nil {
			close(f.first)
		}
		f.subs.publish(CredentialsLoaded{Keys: next.Keys(), Revocations: next.Revocations(), Problems: next.problems, ProblemCount: next.faults})
	}
}

// load bounds a look and turns a panic into an error, as [Registry] does.
func (f *CredentialFeed) load(ctx context.Context) (next *Credentials, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.opts.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading credentials from %s: panic: %v", f.opts.Source, p)
		}
	}()
	return f.opts.Source.Load(ctx, f.opts.Check)
}
