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

// Sink is where records go: a file, a log, a table.
//
// Write takes records in order, beginning with the first, and returns how many
// it took: fewer than all only with an error. Those that it did not take are
// given again, later and perhaps with others behind them, each with the same
// ID, so that a sink that cannot tell whether it took some may take them again
// and drop the repeats. It must not keep the slice.
//
// The recorder calls Write and Close of one sink from one goroutine, never on
// the request path. Write may block for a while: what comes meanwhile queues
// up, and other sinks are not held up.
type Sink interface {
	Write(records []Record) (taken int, err error)
	Close() error
}

// Paced is a sink that wants a pause after each Write, so that what happens in
// the meantime comes in one batch. Flush and Close do not wait for its end.
type Paced interface {
	Sink
	Pace() time.Duration
}

// Options shape a [Recorder]. Zero values mean the defaults given.
type Options struct {
	// Sinks receive every record. A failing one does not hold up the others.
	Sinks []Sink
	// Queue is how many records may wait for each sink, those included that it
	// is writing: 4096.
	Queue int
	// Window is how long repeats of one client and type are counted before
	// they are written as one record: one minute.
	Window time.Duration
	// Burst is how many events of one client and type are written one by one
	// in each window before the counting begins: 5.
	Burst int
	// MaxClients is how many pairs of client and type are told apart in a
	// window: 1024. Beyond it, events are counted by type alone.
	MaxClients int
	// MaxValueLen is the longest value in bytes: 256. Longer ones are cut.
	MaxValueLen int
	// CloseTimeout bounds the wait of Close for a sink that hangs: 5 seconds.
	CloseTimeout time.Duration
	// Now is the clock: time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	def := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	def(&o.Queue, 4096)
	def(&o.Burst, 5)
	def(&o.MaxClients, 1024)
	def(&o.MaxValueLen, 256)
	if o.Window <= 0 {
		o.Window = time.Minute
	}
	if o.CloseTimeout <= 0 {
		o.CloseTimeout = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// ErrClosed is returned by methods of a closed recorder.
var ErrClosed = errors.New("audit recorder closed")

// Recorder takes events and writes them behind the caller's back. It is safe
// for concurrent use. [Open] makes one; the zero value is not usable.
type Recorder struct {
	opts Options
	// instance begins every record's ID, so that no two recorders make the same.
	instance string
	outs     []*outlet
	quit     chan struct{} // closed when Close has ended

	mu     sync.Mutex // guards what follows and the outlets' shared part; never held across I/O
	agg    *aggregator
	made   uint64 // records so far
	stats  Stats
	closed bool
}

// Stats are counts since Open.
type Stats struct {
	// Recorded counts events that became records of their own.
	Recorded int64
	// Aggregated counts events that only raised another record's count.
	Aggregated int64
	// Dropped counts events lost because a queue was full, once for each sink
	// that lost them.
	Dropped int64
	// SinkErrors counts failed writes; the records of a failed write are kept
	// and written again.
	SinkErrors int64
	// Pending is how many records wait for the sink that most wait for.
	Pending int64
	// LastError is the text of the last failed write, empty when all sinks
	// took their last write.
	LastError string
}

// Open starts a recorder with a goroutine for each sink; Close ends them. It
// errs when there is no sink: a recorder without one would only pretend.
func Open(o Options) (*Recorder, error) {
	if len(o.Sinks) == 0 {
		return nil, errors.New("opening audit recorder: expected at least one sink, found none")
	}
	o = o.withDefaults()
	r := &Recorder{
		opts:     o,
		quit:     make(chan struct{}),
		instance: strings.ToLower(rand.Text()[:16]), // 80 random bits
		agg:      newAggregator(o.Window, o.Burst, o.MaxClients),
	}
	for i, s := range o.Sinks {
		if s == nil {
			return nil, fmt.Errorf("opening audit recorder: sink %d is nil", i)
		}
		r.outs = append(r.outs, newOutlet(s, o.Queue))
	}
	for _, out := range r.outs {
		go r.run(out)
	}
	return r, nil
}

// Record notes an event. It never blocks and does no I/O: what does not fit
// the queue is dropped and counted, and repeats of one client and type are
// folded into a count. After Close it counts the event as dropped.
func (r *Recorder) Record(e Event) {
	if e.Time.IsZero() {
		e.Time = r.opts.Now()
	}
	r.mu.Lock()
	before := r.made
	switch {
	case r.closed:
		r.stats.Dropped += max(e.Count, 1)
	case r.agg.fold(&e, r.opts.MaxValueLen, r.push):
		r.stats.Aggregated += max(e.Count, 1)
	default:
		e = bounded(e, r.opts.MaxValueLen)
		if r.push(Record{Event: e}) {
			r.stats.Recorded += e.Count
		}
	}
	queued := r.made > before
	r.mu.Unlock()
	if queued { // an event that was only counted wakes nobody
		r.signal()
	}
}

// push queues a record for every sink, and reports whether one has room for
// it. The caller holds mu.
func (r *Recorder) push(rec Record) (taken bool) {
	rec.ID = r.nextID()
	for _, o := range r.outs {
		if o.push(rec, r.nextID) {
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
	now := r.opts.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.agg.collect(now, all, r.push)
}

func (r *Recorder) signal() {
	for _, o := range r.outs {
		o.signal()
	}
}

// RecordSync writes an event to every sink before it returns: for what an
// operator does, which must not happen unrecorded. It is never aggregated or
// dropped silently: an error means that some sink does not have it yet, and
// the caller should refuse the action. The event may still be written later,
// as the attempt that it was.
func (r *Recorder) RecordSync(ctx context.Context, e Event) error {
	if e.Time.IsZero() {
		e.Time = r.opts.Now()
	}
	r.mu.Lock()
	rec := Record{ID: r.nextID(), Event: bounded(e, r.opts.MaxValueLen)}
	r.mu.Unlock()
	if err := r.each(ctx, request{record: &rec}); err != nil {
		return fmt.Errorf("recording audit event %q: %w", rec.Type, err)
	}
	r.mu.Lock()
	r.stats.Recorded++
	r.mu.Unlock()
	return nil
}

// Flush writes everything recorded so far, running counts included. The error
// is that of the sinks, or of ctx.
func (r *Recorder) Flush(ctx context.Context) error {
	r.collect(true)
	if err := r.each(ctx, request{}); err != nil {
		return fmt.Errorf("flushing audit records: %w", err)
	}
	return nil
}

// each asks all outlets at once, so that none waits for another.
func (r *Recorder) each(ctx context.Context, q request) error {
	errs := make([]error, len(r.outs))
	var wg sync.WaitGroup
	for i, o := range r.outs {
		wg.Go(func() { errs[i] = o.ask(ctx, q) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Close writes what is queued, closes the sinks and ends the goroutines. Further
// calls do nothing and return nil. A sink that hangs is left behind after
// CloseTimeout, with an error; the others are closed all the same, and it is
// when it returns.
func (r *Recorder) Close() error {
	r.mu.Lock()
	first := !r.closed
	r.closed = true
	r.mu.Unlock()
	if !first {
		return nil
	}
	defer close(r.quit)
	r.collect(true)
	ctx, cancel := context.WithTimeout(context.Background(), r.opts.CloseTimeout)
	defer cancel()
	if err := r.each(ctx, request{last: true}); err != nil {
		return fmt.Errorf("closing audit recorder: %w", err)
	}
	return nil
}

// Stats returns the counts so far.
func (r *Recorder) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	for _, o := range r.outs {
		s.Pending = max(s.Pending, int64(o.waiting()))
		if o.failed != "" {
			s.LastError = o.failed
		}
	}
	return s
}
