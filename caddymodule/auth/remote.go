package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"
)

// KeySource gives the keys that tokens are verified with: a [KeySet], which
// never changes, or a [Remote]. It is safe for concurrent use.
type KeySource interface {
	// Keys returns the current set without I/O, or nil while there is none. The
	// same pointer means the same keys.
	Keys() *KeySet
	// Renew is called for a token that names a key which is not in the set. It
	// returns the set as it is after reading again, if the source does that now,
	// and waits for it no longer than ctx and the source's own bounds allow.
	Renew(ctx context.Context) *KeySet
}

// RemoteOptions shape a [Remote]. Zero values mean the defaults given.
type RemoteOptions struct {
	// Every is how often the keys are fetched: one minute. A key that was
	// withdrawn is believed for at most that long.
	Every time.Duration
	// MaxStale is how long the keys of the last good fetch are believed when no
	// other succeeds: 24 hours. Whether one was withdrawn is not known then.
	MaxStale time.Duration

	minInterval time.Duration    // how long after a fetch an unknown key id brings no other: 10 s
	timeout     time.Duration    // of one fetch: 5 s
	wait        time.Duration    // of a request, for the fetch that its unknown key id brought: 2 s
	maxWaiting  int              // requests that may wait at once: 64
	now         func() time.Time // the clock: time.Now
}

func (o *RemoteOptions) setDefaults() {
	o.Every = cmp.Or(o.Every, time.Minute)
	o.MaxStale = cmp.Or(o.MaxStale, 24*time.Hour)
	o.minInterval = cmp.Or(o.minInterval, 10*time.Second)
	o.timeout = cmp.Or(o.timeout, 5*time.Second)
	o.wait = cmp.Or(o.wait, 2*time.Second)
	o.maxWaiting = cmp.Or(o.maxWaiting, 64)
	if o.now == nil {
		o.now = time.Now
	}
}

// Backoff of a failing source, as long as it is below Every.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// Remote is a source of keys that change: they are fetched at once and then
// from time to time, in the background. A fetch that fails, for whatever
// reason, leaves the keys as they are until they are older than MaxStale.
type Remote struct {
	o       RemoteOptions
	fetcher Fetcher
	loaded  atomic.Pointer[loaded]

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup
	waiting chan struct{} // has room for the requests that may wait

	mu     sync.Mutex    // guards what follows; not held while fetching
	flight chan struct{} // closed at the end of the fetch that is under way; nil when there is none
	tried  time.Time     // the start of the last fetch
	stats  RemoteStats
}

// loaded is the outcome of a good fetch.
type loaded struct {
	set  *KeySet
	text [sha256.Size]byte // hash of what was fetched
	at   time.Time
}

// RemoteStats say how a source does.
type RemoteStats struct {
	// Fetches and Failures count since the source was opened.
	Fetches, Failures int64
	// Age is how long ago the last good fetch was, zero before the first.
	Age time.Duration
	// LastError is why the last fetch failed, nil if it did not.
	LastError error
}

// OpenRemote starts fetching; Close ends it. It does not wait for the first
// keys: until they are there, Keys returns nil.
func OpenRemote(f Fetcher, o RemoteOptions) *Remote {
	o.setDefaults()
	r := &Remote{o: o, fetcher: f, waiting: make(chan struct{}, o.maxWaiting)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	first := r.begin(0)
	r.running.Go(func() { r.run(first) })
	return r
}

// run fetches again and again until Close, after the fetch given.
func (r *Remote) run(flight <-chan struct{}) {
	retry := firstRetry
	for ; flight != nil; flight = r.begin(0) {
		<-flight
		pause := r.o.Every
		if r.Stats().LastError == nil {
			retry = firstRetry
		} else {
			pause = min(pause, retry)
			retry = min(2*retry, lastRetry)
		}
		select {
		case <-r.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// begin returns the fetch that is under way, or begins one if the last began at
// least that long ago. It returns nil if there is none: with an interval of 0, only
// after Close.
func (r *Remote) begin(interval time.Duration) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.o.now()
	since := now.Sub(r.tried)
	if r.flight == nil && r.ctx.Err() == nil && (since < 0 || since >= interval) {
		r.flight, r.tried = make(chan struct{}), now
		r.running.Go(r.fetch)
	}
	return r.flight
}

// fetch fetches once and tells those who wait.
func (r *Remote) fetch() {
	ctx, cancel := context.WithTimeout(r.ctx, r.o.timeout)
	defer cancel()
	text, err := r.fetcher.Fetch(ctx)
	var set *KeySet
	if err == nil {
		set, _, err = r.fetcher.Parse(text)
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() {
		close(r.flight) // those who wait find what is stored below
		r.flight = nil
	}()
	r.stats.Fetches++
	if r.stats.LastError = err; err != nil {
		r.stats.Failures++
		return
	}
	next := &loaded{set, sha256.Sum256(text), r.o.now()}
	// The same text keeps the same set, so that the keys of remembered tokens are
	// found in it by their pointers.
	if last := r.loaded.Load(); last != nil && last.text == next.text {
		next.set = last.set
	}
	r.loaded.Store(next)
}

// Keys returns the keys of the last good fetch, or nil before the first and
// when they are too old.
func (r *Remote) Keys() *KeySet {
	last := r.loaded.Load()
	if last == nil || r.o.now().Sub(last.at) > r.o.MaxStale {
		return nil
	}
	return last.set
}

// Renew fetches, at most once in 10 seconds however many ask, and returns the
// keys after that.
func (r *Remote) Renew(ctx context.Context) *KeySet {
	ctx, cancel := context.WithTimeout(ctx, r.o.wait)
	defer cancel()
	flight := r.begin(r.o.minInterval)
	if flight == nil {
		return r.Keys()
	}
	select {
	case r.waiting <- struct{}{}:
		select {
		case <-flight: // also by Close, which ends the fetch
		case <-ctx.Done():
		}
		<-r.waiting
	default:
	}
	return r.Keys()
}

// Stats returns how the source does.
func (r *Remote) Stats() RemoteStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	if last := r.loaded.Load(); last != nil {
		s.Age = r.o.now().Sub(last.at)
	}
	return s
}

// Close stops fetching and waits for a fetch that is under way, which ends at
// once. The keys stay readable. Further calls do nothing.
func (r *Remote) Close() error {
	r.mu.Lock()
	r.cancel() // nothing begins after this
	r.mu.Unlock()
	r.running.Wait()
	return nil
}

var (
	_ KeySource = (*Remote)(nil)
	_ KeySource = (*KeySet)(nil)
)
