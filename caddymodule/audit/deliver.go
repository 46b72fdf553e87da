package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// tick is how often a sink's goroutine looks for ended windows, and the unit
// of the pauses after failures.
const tick = time.Second

// maxBackoff is the longest pause, in ticks, between tries of a failing sink.
const maxBackoff = 30

// request asks an outlet's goroutine to write everything now, with one more
// record, or for the last time.
type request struct {
	record *Record
	last   bool
	reply  chan error
}

// outlet is one sink, what waits for it, and the goroutine that writes: a sink
// that hangs holds up its own outlet only.
type outlet struct {
	sink  Sink
	limit int
	wake  chan struct{} // room for one: "there is something to do"
	asks  chan request
	done  chan struct{} // closed when the goroutine has ended

	// Shared: guarded by the recorder's mu.
	batch  []Record // given to the sink and not taken yet; never changed, only shortened
	queue  []Record // behind it
	failed string   // text of the last failure, empty after a success

	// The goroutine's own.
	pause   int // ticks until the next try of its own
	backoff int
}

func newOutlet(s Sink, limit int) *outlet {
	return &outlet{sink: s, limit: limit, wake: make(chan struct{}, 1), asks: make(chan request), done: make(chan struct{})}
}

// waiting is how many records the sink has not taken. The caller holds mu.
func (o *outlet) waiting() int { return len(o.batch) + len(o.queue) }

// push queues a record, or drops it. Where records were dropped, one note says
// in the trail how many events are missing; notes may exceed the limit by two.
// The caller holds mu.
func (o *outlet) push(rec Record, newID func() string) bool {
	if o.waiting() < o.limit {
		o.queue = append(o.queue, rec)
		return true
	}
	// A note in the batch was given to the sink and says what it says.
	n := len(o.queue)
	if n == 0 || o.queue[n-1].Type != TypeDropped {
		o.queue = append(o.queue, Record{ID: newID(), Event: Event{Time: rec.Time, Type: TypeDropped, Reason: "queue full"}})
		n++
	}
	note := &o.queue[n-1]
	note.Count += rec.Count
	note.Last = rec.Time
	return false
}

func (o *outlet) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// ask hands a request to the goroutine and waits for its answer.
func (o *outlet) ask(ctx context.Context, q request) error {
	q.reply = make(chan error, 1)
	select {
	case o.asks <- q:
	case <-ctx.Done():
		return ctx.Err()
	case <-o.done:
		return ErrClosed
	}
	select {
	case err := <-q.reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-o.done:
		// The answer to the last request may have been given just before.
		select {
		case err := <-q.reply:
			return err
		default:
			return ErrClosed
		}
	}
}

// run is the outlet's goroutine.
func (r *Recorder) run(o *outlet) {
	defer close(o.done)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var pace time.Duration
	if p, ok := o.sink.(Paced); ok {
		pace = p.Pace()
	}
	var rest <-chan time.Time // not nil while a paced sink rests
	write := func() {
		if rest != nil || o.pause > 0 {
			return
		}
		wrote, _ := r.write(o, nil) // a failure is counted in Stats and tried again
		if wrote && pace > 0 {
			rest = time.After(pace)
		}
	}
	for {
		select {
		case <-o.wake:
			write()
		case <-rest:
			rest = nil
			write()
		case <-ticker.C:
			r.collect(false)
			o.pause = max(o.pause-1, 0)
			write()
		case q := <-o.asks:
			_, err := r.write(o, q.record)
			if q.last {
				err = errors.Join(err, o.sink.Close())
			}
			q.reply <- err
			if q.last {
				return
			}
		case <-r.quit:
			_ = o.sink.Close() // nobody waits for it any more
			return
		}
	}
}

// write gives the sink what waits for it, with one more record behind, which
// may exceed the limit. It reports whether there was anything to give.
func (r *Recorder) write(o *outlet, extra *Record) (wrote bool, err error) {
	batch, more := r.next(o, extra)
	for ; len(batch) > 0; batch, more = r.next(o, nil) {
		if err := r.give(o, batch, extra != nil); err != nil {
			return true, err
		}
		if wrote = true; !more {
			break
		}
	}
	return wrote, nil
}

// next moves the queue behind what the sink has not taken yet. A note at the
// end stays, to grow, until all before it is taken: so one outage, however many
// tries it takes, leaves at most two. more says that it stayed.
func (r *Recorder) next(o *outlet, extra *Record) (batch []Record, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if extra != nil {
		o.queue = append(o.queue, *extra)
	}
	n := len(o.queue)
	switch {
	case len(o.batch) == 0:
		o.batch, o.queue = o.queue, nil
	case n > 0 && o.queue[n-1].Type == TypeDropped:
		more = true
		o.batch, o.queue = append(o.batch, o.queue[:n-1]...), []Record{o.queue[n-1]}
	default:
		o.batch, o.queue = append(o.batch, o.queue...), nil
	}
	return o.batch, more
}

// give writes one batch. hasExtra says that its last record is one whose caller
// waits.
func (r *Recorder) give(o *outlet, batch []Record, hasExtra bool) error {
	taken, err := o.sink.Write(batch)
	taken = min(max(taken, 0), len(batch))
	if err == nil && taken < len(batch) {
		err = io.ErrShortWrite
	}
	if err == nil || taken > 0 {
		o.backoff, o.pause = 0, 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		o.failed, o.batch = "", nil
		return nil
	}
	r.stats.SinkErrors++
	o.failed = err.Error()
	o.backoff = min(max(2*o.backoff, 1), maxBackoff)
	o.pause = o.backoff
	left := batch[taken:]
	if hasExtra && len(left) > o.limit+1 {
		left = left[:len(left)-1] // its caller is told
	}
	o.batch = append([]Record(nil), left...) // a copy lets go of what was taken
	return fmt.Errorf("writing %d audit records: %w", len(left), err)
}
