package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Store keeps the bytes of one snapshot over restarts. A [Registry] or a
// [CredentialFeed] calls its methods one at a time.
type Store interface {
	// Save replaces what is stored. Load sees the old or the new, never a part.
	Save(ctx context.Context, data []byte) error
	// Load returns what was saved last, or an error that is [fs.ErrNotExist] if
	// nothing was.
	Load(ctx context.Context) ([]byte, error)
}

// NewFileStore returns a store in a file of that name, which only its owner can
// read.
func NewFileStore(path string) Store { return fileStore(path) }

type fileStore string

func (s fileStore) Load(context.Context) ([]byte, error) { return os.ReadFile(string(s)) }

func (s fileStore) Save(_ context.Context, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(string(s)), filepath.Base(string(s))+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	// Without the sync, a crash could leave the new name with no content.
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), string(s))
	}
	return err
}

// The saver's pace: changes within saveGap, and within saveShare times what the
// last save took, make one save. A snapshot that refuses what the one before
// served does not wait for saveGap. One that stays the same is saved again now and
// then for the time until which it was good.
const (
	saveGap    = 5 * time.Second
	saveShare  = 20
	saveAnyway = 10 * time.Minute
	saveLimit  = time.Minute // for one save
	closeLimit = 5 * time.Second
)

// keeper saves snapshots in a goroutine of its own: a slow store must not delay
// changes.
type keeper[T any] struct {
	store  Store
	format format
	source string // what is saved was made from
	what   string // for people
	now    func() time.Time
	encode func(*T, time.Time) []byte // a snapshot that was good until then

	next  chan kept[T]  // the latest that the goroutine has not seen yet
	saves chan error    // how the latest save went
	stop  chan struct{} // closed to end
	done  chan struct{} // closed when ended

	saved   *T // that was last handed over, and when
	savedAt time.Time
}

// kept is a snapshot and until when it was known to be good. It is urgent when
// somebody is refused since the last one that was saved: after a crash, a gateway
// that starts without its source would serve them again.
type kept[T any] struct {
	snapshot *T
	goodAt   time.Time
	urgent   bool
}

// start makes the channels of a keeper whose other fields are set, and its
// goroutine.
func (k *keeper[T]) start() *keeper[T] {
	k.next, k.saves = make(chan kept[T], 1), make(chan error, 1)
	k.stop, k.done = make(chan struct{}), make(chan struct{})
	go k.run()
	return k
}

// keep is called by the goroutine that reads the source only.
func (k *keeper[T]) keep(s *T, goodAt time.Time, urgent bool) {
	if s == k.saved && goodAt.Sub(k.savedAt) < saveAnyway {
		return
	}
	k.saved, k.savedAt = s, goodAt
	select {
	case outdated := <-k.next:
		urgent = urgent || outdated.urgent
	default:
	}
	k.next <- kept[T]{s, goodAt, urgent}
}

func (k *keeper[T]) run() {
	defer close(k.done)
	var latest kept[T]          // waits to be saved; nothing without a snapshot
	var soonest, rest time.Time // when it may be, if it is urgent and if not
	for {
		var due <-chan time.Time
		switch {
		case latest.snapshot == nil:
		case latest.urgent:
			due = time.After(time.Until(soonest))
		default:
			due = time.After(time.Until(rest))
		}
		select {
		case next := <-k.next:
			next.urgent = next.urgent || latest.urgent
			latest = next
		case <-due:
			start := time.Now()
			k.save(latest, saveLimit)
			latest = kept[T]{}
			end := time.Now()
			soonest = end.Add(saveShare * end.Sub(start))
			rest = end.Add(max(saveGap, soonest.Sub(end)))
		case <-k.stop:
			select {
			case latest = <-k.next:
			default:
			}
			if latest.snapshot != nil {
				k.save(latest, closeLimit)
			}
			return
		}
	}
}

func (k *keeper[T]) save(latest kept[T], limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var err error
	if !k.outdated(ctx, latest.goodAt) {
		err = k.store.Save(ctx, k.encode(latest.snapshot, latest.goodAt))
	}
	if err != nil {
		err = fmt.Errorf("saving %s: %w", k.what, err)
	}
	select {
	case <-k.saves: //nolint:errcheck // outdated
	default:
	}
	k.saves <- err
}

// outdated reports whether the store has a later state than one that was good
// until then. Gateways may share a store: one that has lost its source must not
// put what it last read over what the others read since. Who has just read its
// source is never outdated: then what the store has would be from the future,
// and one of the two clocks is wrong.
func (k *keeper[T]) outdated(ctx context.Context, goodAt time.Time) bool {
	data, err := k.store.Load(ctx)
	if err != nil {
		return false
	}
	_, at, err := k.format.open(data, k.source)
	return err == nil && at.After(goodAt) && !at.After(k.now())
}

func (k *keeper[T]) close() {
	close(k.stop)
	<-k.done
}

// restore has what is stored decoded; found is false if nothing is.
func (k *keeper[T]) restore(ctx context.Context, decode func([]byte) error) (found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, saveLimit)
	defer cancel()
	data, err := k.store.Load(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = decode(data)
	}
	if err != nil {
		return false, fmt.Errorf("restoring %s: %w", k.what, err)
	}
	return true, nil
}

// identity tells sources apart whose tenants must not be mixed up.
func identity(s Source) string {
	if s, ok := s.(interface{ identity() string }); ok {
		return s.identity()
	}
	return s.String()
}
