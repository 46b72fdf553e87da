package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Store keeps the bytes of one snapshot over restarts. A feed calls its methods
// one at a time.
type Store interface {
	// Save replaces what is stored. Load sees the old or the new, never a part.
	Save(ctx context.Context, data []byte) error
	// Load returns what was saved last, or an error that is [fs.ErrNotExist] if
	// nothing was.
	Load(ctx context.Context) ([]byte, error)
}

// How often is saved: changes within saveGap, and within saveShare times what the
// last save took, make one save. A value that refuses what the one before served
// does not wait for saveGap. One that stays the same is saved again now and then
// for the time until which it was good.
const (
	saveGap    = 5 * time.Second
	saveShare  = 20
	saveAnyway = 10 * time.Minute
	saveLimit  = time.Minute // for one save
	closeLimit = 5 * time.Second
)

// snapshotWriter saves what a feed reads, in a goroutine of its own: a slow store
// must not delay changes.
type snapshotWriter[T any] struct {
	store Store
	about heading
	pack  func(*T) any // what is saved of a value
	tell  func(error)  // how each save went
	now   func() time.Time

	next chan unsaved[T] // the latest that the goroutine has not seen yet
	stop chan struct{}   // closed to end
	done chan struct{}   // closed when ended

	last   *T // that was handed over last, and when
	lastAt time.Time
}

// unsaved is a value and until when it was known to be good. It is urgent when
// somebody is refused since the last one that was saved: after a crash, a gateway
// that starts without its source would serve them again.
type unsaved[T any] struct {
	value  *T
	goodAt time.Time
	urgent bool
}

func startWriter[T any](store Store, about heading, pack func(*T) any, tell func(error), now func() time.Time) *snapshotWriter[T] {
	w := &snapshotWriter[T]{
		store: store, about: about, pack: pack, tell: tell, now: now,
		next: make(chan unsaved[T], 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	go w.run()
	return w
}

// write is called by the goroutine that reads the source only.
func (w *snapshotWriter[T]) write(value *T, goodAt time.Time, urgent bool) {
	if value == w.last && goodAt.Sub(w.lastAt) < saveAnyway {
		return
	}
	w.last, w.lastAt = value, goodAt
	select {
	case outdated := <-w.next:
		urgent = urgent || outdated.urgent
	default:
	}
	w.next <- unsaved[T]{value, goodAt, urgent}
}

func (w *snapshotWriter[T]) run() {
	defer close(w.done)
	var latest unsaved[T]        // waits to be saved; nothing without a value
	var soonest, usual time.Time // when it may be, if it is urgent and if not
	for {
		var due <-chan time.Time
		switch {
		case latest.value == nil:
		case latest.urgent:
			due = time.After(time.Until(soonest))
		default:
			due = time.After(time.Until(usual))
		}
		select {
		case next := <-w.next:
			next.urgent = next.urgent || latest.urgent
			latest = next
		case <-due:
			start := time.Now()
			w.save(latest, saveLimit)
			latest = unsaved[T]{}
			end := time.Now()
			soonest = end.Add(saveShare * end.Sub(start))
			usual = end.Add(max(saveGap, soonest.Sub(end)))
		case <-w.stop:
			select {
			case latest = <-w.next:
			default:
			}
			if latest.value != nil {
				w.save(latest, closeLimit)
			}
			return
		}
	}
}

func (w *snapshotWriter[T]) save(latest unsaved[T], limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var err error
	if !w.outdated(ctx, latest.goodAt) {
		about := w.about
		about.GoodAt = latest.goodAt
		var data []byte
		if data, err = seal(about, w.pack(latest.value)); err == nil {
			err = w.store.Save(ctx, data)
		}
	}
	if err != nil {
		err = fmt.Errorf("saving %s: %w", w.about.What, err)
	}
	w.tell(err)
}

// outdated reports whether the store has a later state than one that was good
// until then. Gateways may share a store: one that has lost its source must not
// put what it last read over what the others read since. Who has just read its
// source is never outdated: then what the store has would be from the future,
// and one of the two clocks is wrong.
func (w *snapshotWriter[T]) outdated(ctx context.Context, goodAt time.Time) bool {
	data, err := w.store.Load(ctx)
	if err != nil {
		return false
	}
	at, _, err := unseal(data, w.about)
	return err == nil && at.After(goodAt) && !at.After(w.now())
}

func (w *snapshotWriter[T]) close() {
	close(w.stop)
	<-w.done
}

// restore makes a value again of what is stored; the reading has none if nothing is.
func (w *snapshotWriter[T]) restore(ctx context.Context, unpack func(decode func(any) error, goodAt time.Time) (reading[T], error)) (got reading[T], goodAt time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, restoreAfter)
	defer cancel()
	data, err := w.store.Load(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return got, goodAt, nil
	}
	var decode func(any) error
	if err == nil {
		goodAt, decode, err = unseal(data, w.about)
	}
	if err == nil {
		got, err = unpack(decode, goodAt)
	}
	if err != nil {
		return reading[T]{}, goodAt, fmt.Errorf("restoring %s: %w", w.about.What, err)
	}
	return got, goodAt, nil
}
