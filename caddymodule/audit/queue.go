package audit

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// tick is how often a queue's goroutine looks for ended windows.
const tick = time.Second

// maxBackoff is the longest pause between tries of a failing sink, in first
// pauses.
const maxBackoff = 30

// queue is what waits for one sink, and the goroutine that writes it: a sink that
// hangs holds up its own queue only.
type queue struct {
	sink  Sink
	limit int
	every time.Duration // pause of a BatchingSink
	wake  chan struct{} // room for one: "there is something to do"
	done  chan struct{} // closed when the goroutine has ended

	// Guarded by the recorder's mu.
	waiting []Record // beginning with those given to the sink and not taken yet; only appended to
	lost    Record   // a note of what did not fit; none while its Count is 0

	// The goroutine's own.
	backoff time.Duration // the pause after the last failure, 0 after a success
	err     error         // of the end; read when done is closed
}

func newQueue(s Sink, limit int) *queue {
	q := &queue{sink: s, limit: limit, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if b, ok := s.(BatchingSink); ok {
		q.every = b.BatchEvery()
	}
	return q
}

// push queues a record, or drops it. Where records were dropped, one note says how
// many events are missing; it grows until there is room for it, and does not
// change afterwards, since a sink may have taken it. The caller holds mu.
func (q *queue) push(rec Record, newID func() string) bool {
	if len(q.waiting) < q.limit {
		q.note()
		q.waiting = append(q.waiting, rec)
		select {
		case q.wake <- struct{}{}:
		default:
		}
		return true
	}
	if q.lost.Count == 0 {
		q.lost = Record{ID: newID(), Event: Event{Time: rec.Time, Type: TypeDropped, Reason: "queue full"}}
	}
	q.lost.Count += rec.Count
	q.lost.Last = rec.Time
	return false
}

// note queues the note of losses, if there is one. The caller holds mu.
func (q *queue) note() {
	if q.lost.Count > 0 {
		q.waiting = append(q.waiting, q.lost)
		q.lost = Record{}
	}
}

// run is the queue's goroutine.
func (r *Recorder) run(q *queue) {
	defer close(q.done)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var pause <-chan time.Time // not nil while the sink is left alone
	for {
		select {
		case <-q.wake:
		case <-pause:
			pause = nil
		case <-ticker.C:
			r.collect(false)
		case <-r.closing:
			taken, err := r.give(q)
			for err == nil && taken > 0 {
				taken, err = r.give(q)
			}
			q.err = errors.Join(err, q.sink.Close())
			return
		}
		if pause != nil {
			continue
		}
		if taken, err := r.give(q); err != nil { // counted in Stats
			q.backoff = min(max(2*q.backoff, r.opts.retry), maxBackoff*r.opts.retry)
			pause = time.After(q.backoff)
		} else if taken > 0 && q.every > 0 {
			pause = time.After(q.every)
		}
	}
}

// give gives the sink one batch: what waits for it. It returns how many records
// the sink took.
func (r *Recorder) give(q *queue) (taken int, err error) {
	r.mu.Lock()
	if len(q.waiting) < q.limit {
		q.note()
	}
	batch := slices.Clip(q.waiting)
	r.mu.Unlock()
	if len(batch) == 0 {
		return 0, nil
	}
	taken, err = q.sink.Write(batch)
	taken = min(max(taken, 0), len(batch))
	if err == nil && taken < len(batch) {
		err = io.ErrShortWrite
	}
	if taken > 0 {
		q.backoff = 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	q.waiting = slices.Clone(q.waiting[taken:]) // lets go of what was taken
	if err != nil {
		r.stats.SinkErrors++
		return taken, fmt.Errorf("writing %d audit records: %w", len(batch)-taken, err)
	}
	return taken, nil
}
