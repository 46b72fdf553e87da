package audit

import (
	"errors"
	"fmt"
	"time"
)

// tick is how often the goroutine looks for ended windows and failed sinks.
const tick = time.Second

// maxBackoff is the longest pause, in ticks, between tries of a failing sink.
const maxBackoff = 30

// flushRequest asks the goroutine to write everything now, with one more
// record, or for the last time.
type flushRequest struct {
	record *Record
	last   bool
	reply  chan error
}

// outlet is one sink and what it has not taken yet.
type outlet struct {
	sink    Sink
	pending []Record
	failed  string // text of the last failure
	pause   int    // ticks until the next try of its own
	backoff int
}

func (r *Recorder) run() {
	defer close(r.done)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-r.wake:
			_ = r.deliver(false, nil) // counted in Stats and tried again
		case <-ticker.C:
			for _, o := range r.outs {
				o.pause = max(o.pause-1, 0)
			}
			_ = r.deliver(false, nil) // counted in Stats and tried again
		case q := <-r.asks:
			err := r.deliver(true, q.record)
			if q.last {
				for _, o := range r.outs {
					err = errors.Join(err, o.sink.Close())
				}
				q.reply <- err
				return
			}
			q.reply <- err
		}
	}
}

// deliver moves the queue to the sinks. With force it also writes counts whose
// window is still open and tries sinks that are in a pause.
func (r *Recorder) deliver(force bool, extra *Record) error {
	batch := r.take(force)
	var errs error
	var dropped, failures, pending int64
	failed := ""
	for _, o := range r.outs {
		dropped += o.add(batch, r.opts.Queue)
		if extra != nil {
			o.pending = append(o.pending, *extra)
		}
		if len(o.pending) > 0 && (force || o.pause == 0) {
			if err := o.write(); err != nil {
				failures++
				errs = errors.Join(errs, err)
			}
		}
		if len(o.pending) > 0 {
			failed = o.failed
		}
		if extra != nil && len(o.pending) > r.opts.Queue+1 {
			o.pending = o.pending[:len(o.pending)-1] // its caller is told
		}
		pending = max(pending, int64(len(o.pending)))
	}
	r.mu.Lock()
	r.stats.Dropped += dropped
	r.stats.SinkErrors += failures
	r.stats.Pending = pending
	r.stats.LastError = failed
	if extra != nil {
		r.stats.Recorded++
	}
	r.mu.Unlock()
	return errs
}

// take empties the queue. Where events were dropped, the trail says so.
func (r *Recorder) take(force bool) []Record {
	now := r.opts.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	batch := r.queue
	r.queue = nil
	r.agg.collect(now, force, func(rec Record) bool {
		batch = append(batch, rec)
		return true
	})
	if r.unsaid > 0 {
		batch = append(batch, droppedNote(now, r.unsaid))
		r.unsaid = 0
	}
	return batch
}

func droppedNote(now time.Time, n int64) Record {
	return Record{Event: Event{Time: now, Type: TypeDropped, Reason: "queue full", Count: n}}
}

// add queues records for a sink that may be failing, at most limit and, behind
// them, one that counts what did not fit. It returns the number of events lost.
func (o *outlet) add(batch []Record, limit int) (lost int64) {
	for _, rec := range batch {
		n := len(o.pending)
		switch {
		case n < limit:
			o.pending = append(o.pending, rec)
			continue
		case n == limit:
			o.pending = append(o.pending, droppedNote(rec.Time, 0))
			n++
		}
		o.pending[n-1].Count += rec.Count
		if rec.Type != TypeDropped { // else it was counted when it was lost
			lost += rec.Count
		}
	}
	return lost
}

func (o *outlet) write() error {
	if err := o.sink.Write(o.pending); err != nil {
		o.failed = err.Error()
		o.backoff = min(max(2*o.backoff, 1), maxBackoff)
		o.pause = o.backoff
		return fmt.Errorf("writing %d audit records: %w", len(o.pending), err)
	}
	clear(o.pending) // lets go of the strings
	o.pending = o.pending[:0]
	if cap(o.pending) > 1024 {
		o.pending = nil
	}
	o.failed, o.backoff, o.pause = "", 0, 0
	return nil
}
