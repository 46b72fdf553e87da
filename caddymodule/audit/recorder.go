package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Sink is where records go: a file, a log, a table.
//
// Write takes the records in order and all or none: after an error the same
// records are given again, later and perhaps with others behind them. It must
// not keep the slice. The recorder calls Write and Close from one goroutine at
// a time, never on the request path; Write may block for a while, and what
// comes meanwhile queues up.
type Sink interface {
	Write([]Record) error
	Close() error
}

// Options shape a [Recorder]. Zero values mean the defaults given.
type Options struct {
	// Sinks receive every record. A failing one does not hold up the others.
	Sinks []Sink
	// Queue is how many records may wait, in all and for each sink: 4096.
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
	wake chan struct{}     // room for one: "there is something to do"
	asks chan flushRequest // Flush, RecordSync and Close, answered by the goroutine
	done chan struct{}     // closed when the goroutine has ended

	mu     sync.Mutex // guards what follows; never held across I/O
	queue  []Record
	agg    *aggregator
	unsaid int64 // dropped and not yet told in the trail
	stats  Stats
	closed bool

	// Owned by the goroutine.
	outs []*outlet
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
	// Pending is how many records wait to be written.
	Pending int64
	// LastError is the text of the last failed write, empty when all sinks
	// took their last write.
	LastError string
}

// Open starts a recorder and its goroutine; Close ends it. It errs when there
// is no sink: a recorder without one would only pretend.
func Open(o Options) (*Recorder, error) {
	if len(o.Sinks) == 0 {
		return nil, errors.New("opening audit recorder: expected at least one sink, found none")
	}
	o = o.withDefaults()
	r := &Recorder{
		opts: o,
		wake: make(chan struct{}, 1),
		asks: make(chan flushRequest),
		done: make(chan struct{}),
		agg:  newAggregator(o.Window, o.Burst, o.MaxClients),
	}
	for i, s := range o.Sinks {
		if s == nil {
			return nil, fmt.Errorf("opening audit recorder: sink %d is nil", i)
		}
		r.outs = append(r.outs, &outlet{sink: s})
	}
	go r.run()
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
	r.mu.Unlock()
	r.signal()
}

// push queues a record, or drops and counts it. The caller holds mu.
func (r *Recorder) push(rec Record) bool {
	if len(r.queue) >= r.opts.Queue {
		r.stats.Dropped += rec.Count
		r.unsaid += rec.Count
		return false
	}
	r.queue = append(r.queue, rec)
	return true
}

func (r *Recorder) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
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
	e = bounded(e, r.opts.MaxValueLen)
	if err := r.ask(ctx, flushRequest{record: &Record{Event: e}}); err != nil {
		return fmt.Errorf("recording audit event %q: %w", e.Type, err)
	}
	return nil
}

// Flush writes everything recorded so far, running counts included. The error
// is that of the sinks, or of ctx.
func (r *Recorder) Flush(ctx context.Context) error {
	if err := r.ask(ctx, flushRequest{}); err != nil {
		return fmt.Errorf("flushing audit records: %w", err)
	}
	return nil
}

func (r *Recorder) ask(ctx context.Context, q flushRequest) error {
	q.reply = make(chan error, 1)
	select {
	case r.asks <- q:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.done:
		return ErrClosed
	}
	select {
	case err := <-q.reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-r.done:
		// The answer to the last request may have been given just before.
		select {
		case err := <-q.reply:
			return err
		default:
			return ErrClosed
		}
	}
}

// Close writes what is queued, closes the sinks and ends the goroutine. Further
// calls do nothing and return nil. A sink that hangs is left behind after
// CloseTimeout, with an error.
func (r *Recorder) Close() error {
	r.mu.Lock()
	first := !r.closed
	r.closed = true
	r.mu.Unlock()
	if !first {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.opts.CloseTimeout)
	defer cancel()
	if err := r.ask(ctx, flushRequest{last: true}); err != nil {
		return fmt.Errorf("closing audit recorder: %w", err)
	}
	return nil
}

// Stats returns the counts so far.
func (r *Recorder) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Pending += int64(len(r.queue))
	return s
}
