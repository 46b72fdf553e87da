package auth

import (
	"context"
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"
)

// Fetcher reads the text of a key set: from a URL, see [HTTPFetcher], or a
// file, see [FileFetcher]. It returns when ctx ends.
type Fetcher interface {
	Fetch(ctx context.Context) (text []byte, err error)
	// Parse reads the text; skipped names keys that were left out.
	Parse(text []byte) (set *KeySet, skipped []error, err error)
}

// RemoteOptions shape a [Remote]. Zero values mean the defaults given.
type RemoteOptions struct {
	// Every is how often the keys are fetched: one minute. A key that was
	// withdrawn is believed for at most that long.
	Every time.Duration
	// MinInterval is how long after a fetch an unknown key id brings no other:
	// 10 seconds.
	MinInterval time.Duration
	// Timeout bounds one fetch: 5 seconds.
	Timeout time.Duration
	// Wait is how long a request waits for a fetch that its token's unknown
	// key id brought: 2 seconds.
	Wait time.Duration
	// MaxWaiting is how many requests may wait at once: 64. Others are
	// answered from the keys that are known.
	MaxWaiting int
	// Now is the clock: time.Now.
	Now func() time.Time
}

func (o *RemoteOptions) setDefaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.Every, time.Minute)
	def(&o.MinInterval, 10*time.Second)
	def(&o.Timeout, 5*time.Second)
	def(&o.Wait, 2*time.Second)
	if o.MaxWaiting <= 0 {
		o.MaxWaiting = 64
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Backoff of a failing source, as long as it is below Every.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// Remote is a source of keys that change: they are fetched at once and then
// from time to time, in the background. A fetch that fails, for whatever
// reason, leaves the keys as they are.
type Remote struct {
	o       RemoteOptions
	fetcher Fetcher
	keys    atomic.Pointer[KeySet]

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex // guards what follows; not held while fetching
	flight  chan struct{}
	waiting int
	tried   time.Time         // the start of the last fetch
	text    [sha256.Size]byte // hash of the last good text
	stats   RemoteStats
}

// RemoteStats say how a source does.
type RemoteStats struct {
	// Fetches and Failures count since the source was opened.
	Fetches, Failures int64
	// LoadedAt is the time of the last good fetch, zero before the first.
	LoadedAt time.Time
	// LastError is why the last fetch failed, nil if it did not.
	LastError error
	// Keys is the number of keys in force.
	Keys int
	// Skipped says which keys of the last good fetch were left out, and why.
	Skipped []error
}

// OpenRemote starts fetching; Close ends it. It does not wait for the first
// keys: until they are there, Keys returns nil.
func OpenRemote(f Fetcher, o RemoteOptions) *Remote {
	o.setDefaults()
	r := &Remote{o: o, fetcher: f}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.mu.Lock()
	first := r.begin()
	r.mu.Unlock()
	r.wg.Go(func() { r.run(first) })
	return r
}

// run fetches again and again.
func (r *Remote) run(flight <-chan struct{}) {
	retry := firstRetry
	for {
		select {
		case <-flight:
		case <-r.ctx.Done():
			return
		}
		pause := r.o.Every
		if r.Stats().LastError != nil {
			pause = min(pause, retry)
			retry = min(2*retry, lastRetry)
		} else {
			retry = firstRetry
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-r.ctx.Done():
			timer.Stop()
			return
		}
		r.mu.Lock()
		flight = r.begin()
		r.mu.Unlock()
	}
}

// begin starts a fetch, unless one is under way, and returns a channel that is
// closed at its end. The caller holds mu.
func (r *Remote) begin() <-chan struct{} {
	if r.flight != nil {
		return r.flight
	}
	done := make(chan struct{})
	r.flight, r.tried = done, r.o.Now()
	r.wg.Go(func() {
		r.fetch()
		r.mu.Lock()
		r.flight = nil
		r.mu.Unlock()
		close(done)
	})
	return done
}

func (r *Remote) fetch() {
	ctx, cancel := context.WithTimeout(r.ctx, r.o.Timeout)
	defer cancel()
	text, err := r.fetcher.Fetch(ctx)
	var set *KeySet
	var skipped []error
	if err == nil {
		set, skipped, err = r.fetcher.Parse(text)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Fetches++
	if r.stats.LastError = err; err != nil {
		r.stats.Failures++
		return
	}
	r.stats.LoadedAt, r.stats.Skipped, r.stats.Keys = r.o.Now(), skipped, set.Len()
	// The same text keeps the same set, so that remembered tokens need no
	// second look.
	if sum := sha256.Sum256(text); r.keys.Load() == nil || sum != r.text {
		r.text = sum
		r.keys.Store(set)
	}
}

// Keys returns the keys of the last good fetch, or nil before the first.
func (r *Remote) Keys() *KeySet { return r.keys.Load() }

// Renew fetches, at most once per MinInterval however many ask, and returns the
// keys after that.
func (r *Remote) Renew(ctx context.Context) *KeySet {
	r.mu.Lock()
	since := r.o.Now().Sub(r.tried)
	if r.ctx.Err() != nil || r.waiting >= r.o.MaxWaiting ||
		(r.flight == nil && since >= 0 && since < r.o.MinInterval) {
		r.mu.Unlock()
		return r.Keys()
	}
	flight := r.begin() //nolint:contextcheck // the fetch is everybody's: it must not end with this request
	r.waiting++
	r.mu.Unlock()

	timer := time.NewTimer(r.o.Wait)
	defer timer.Stop()
	select {
	case <-flight:
	case <-timer.C:
	case <-ctx.Done():
	case <-r.ctx.Done():
	}
	r.mu.Lock()
	r.waiting--
	r.mu.Unlock()
	return r.Keys()
}

// Stats returns how the source does.
func (r *Remote) Stats() RemoteStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// Close stops fetching and waits for a fetch that is under way, which ends at
// once. The keys stay readable. Further calls do nothing.
func (r *Remote) Close() error {
	r.mu.Lock() // begin adds to wg under mu, and Renew looks at ctx there
	r.cancel()
	r.mu.Unlock()
	r.wg.Wait()
	return nil
}

var _ KeySource = (*Remote)(nil)
