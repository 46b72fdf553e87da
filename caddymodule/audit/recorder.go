package audit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// options are constants of the product; tests make them smaller.
type options struct {
	queue        int           // records that may wait for each sink, besides one note of losses
	window       time.Duration // how long repeats of one client and type are counted into one record
	burst        int           // how many of them are written one by one before the counting begins
	maxClients   int           // pairs of client and type that are told apart in a window
	maxValue     int           // bytes of a value; longer ones are cut
	closeTimeout time.Duration // how long Close waits for a sink that hangs
	retry        time.Duration // the first pause after a failure; it doubles up to 30 times as much
	now          func() time.Time
}

func defaults() options {
	return options{
		queue: 4096, window: time.Minute, burst: 5, maxClients: 1024, maxValue: 256,
		closeTimeout: 5 * time.Second, retry: time.Second, now: time.Now,
	}
}

// Recorder takes events and writes them behind the caller's back. It is safe
// for concurrent use. [Open] makes one; the zero value is not usable.
type Recorder struct {
	opts options
	// instance begins every record's ID, so that no two recorders make the same.
	instance string
	queues   []*queue
	closing  chan struct{} // closed when Close begins

	mu      sync.Mutex // guards what follows and the queues' records; never held across I/O
	repeats aggregator
	made    uint64 // records so far
	stats   Stats
	closed  bool
}

// Stats are counts since Open.
type Stats struct {
	// Recorded counts events that became records of their own.
	Recorded int64
	// Dropped counts events lost because a queue was full, once for each sink
	// that lost them.
	Dropped int64
	// SinkErrors counts failed writes; the records of a failed write are kept
	// and written again.
	SinkErrors int64
}

// Open starts a recorder, which owns the sinks from then on, with a goroutine for
// each; Close ends them. It errs when there is no sink: a recorder without one
// would only pretend.
func Open(sinks ...Sink) (*Recorder, error) { return open(defaults(), sinks...) }

func open(o options, sinks ...Sink) (*Recorder, error) {
	if len(sinks) == 0 {
		return nil, errors.New("opening audit recorder: expected at least one sink, found none")
	}
	r := &Recorder{
		opts:     o,
		closing:  make(chan struct{}),
		instance: strings.ToLower(rand.Text()[:16]), // 80 random bits
		repeats:  aggregator{o.window, o.burst, o.maxClients, make(map[clientType]*repeats)},
	}
	for i, s := range sinks {
		if s == nil {
			return nil, fmt.Errorf("opening audit recorder: sink %d is nil", i)
		}
		r.queues = append(r.queues, newQueue(s, o.queue))
	}
	for _, q := range r.queues {
		go r.run(q)
	}
	return r, nil
}

// Record notes an event. It never blocks and does no I/O: what does not fit
// the queue is dropped and counted, and repeats of one client and type are
// folded into a count. After Close it counts the event as dropped.
func (r *Recorder) Record(e Event) {
	if e.Time.IsZero() {
		e.Time = r.opts.now()
	}
	e = bounded(e, r.opts.maxValue)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		r.stats.Dropped += e.Count
	case r.repeats.fold(e, r.push):
	case r.push(Record{Event: e}):
		r.stats.Recorded += e.Count
	}
}

// push queues a record for every sink, and reports whether one has room for
// it. The caller holds mu.
func (r *Recorder) push(rec Record) (taken bool) {
	rec.ID = r.nextID()
	for _, q := range r.queues {
		if q.push(rec, r.nextID) {
			taken = true
		} else {
			r.stats.Dropped += rec.Count
		}
	}
	return taken
}

// nextID returns the ID of a new record. IDs of one recorder sort in the order
// of their making. The caller holds mu.
func (r *Recorder) nextID() string {
	r.made++
	return fmt.Sprintf("%s-%012x", r.instance, r.made)
}

// collect queues the counts of windows that have ended, or of all.
func (r *Recorder) collect(all bool) {
	now := r.opts.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.repeats.collect(now, all, r.push)
}

// Close writes what is queued, closes the sinks and ends the goroutines. Further
// calls do nothing and return nil. A sink that hangs is left behind after five
// seconds, with an error; the others are closed all the same, and it is when it
// returns.
func (r *Recorder) Close() error {
	r.mu.Lock()
	first := !r.closed
	r.closed = true
	r.mu.Unlock()
	if !first {
		return nil
	}
	r.collect(true)
	close(r.closing)
	ctx, cancel := context.WithTimeout(context.Background(), r.opts.closeTimeout)
	defer cancel()
	var errs []error
	for _, q := range r.queues {
		select {
		case <-q.done:
			errs = append(errs, q.err)
		case <-ctx.Done():
			errs = append(errs, ctx.Err())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing audit recorder: %w", err)
	}
	return nil
}

// Stats returns the counts so far.
func (r *Recorder) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}
