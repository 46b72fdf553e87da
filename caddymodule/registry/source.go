package registry

import (
	"context"
	"errors"
	"time"
)

// ErrUnchanged is what a [Source] may return instead of records when nothing has
// changed since its last successful Load.
var ErrUnchanged = errors.New("unchanged")

// Source reads tenant records from where they are kept. A [Registry] never calls
// its methods at the same time, except for String.
type Source interface {
	// Load reads all tenants, or returns [ErrUnchanged]. Any other error means
	// that nothing is known about the tenants; the source must be able to recover
	// by itself in a later call. Load gives up when the context ends.
	Load(ctx context.Context) ([]Record, error)
	// String names the source for logs, without any secret.
	String() string
	// Close releases what the source holds. No method is called after it.
	Close() error
}

// Notifier is a [Source] that learns of changes by itself.
type Notifier interface {
	Source
	// Changed returns a channel that receives after a change, perhaps more often.
	// The channel is the same in every call and is not closed before Close.
	Changed() <-chan struct{}
}

// ErrFull is what [Incremental.LoadChanges] returns when only Load can tell how
// things stand.
var ErrFull = errors.New("only a full load can tell")

// Incremental is a [Source] that can tell what has changed since the last look, so
// that one change among a million tenants does not cost reading them all.
//
// A registry uses it between full loads, and goes back to Load when the changes do
// not add up with what it has.
type Incremental interface {
	Source
	// LoadChanges returns what has changed since the last successful Load or
	// LoadChanges, [ErrUnchanged], or [ErrFull]. After any other error it returns
	// ErrFull until Load has succeeded.
	LoadChanges(ctx context.Context) (Changes, error)
}

// Changes is the difference between two looks at a source. It may also hold
// records that have not changed.
type Changes struct {
	// Records are those that are new or different.
	Records []Record
	// Removed are the slugs of those that are gone.
	Removed []string
	// Tenants and Hosts count what the source holds now, -1 if it cannot say: what
	// was removed without a trace shows in them.
	Tenants, Hosts int
}

// Paced is a [Source] that knows how often a look at it is worth its cost.
type Paced interface {
	Source
	// Interval is the time between two looks if [Options] has none.
	Interval() time.Duration
}

// NewStatic returns a source of records that never change. It takes the slice
// over.
func NewStatic(records []Record) Source {
	for i := range records {
		if records[i].Row == 0 {
			records[i].Row = i + 1
		}
	}
	return &static{records: records}
}

type static struct {
	records []Record
	loaded  bool
}

func (s *static) Load(context.Context) ([]Record, error) {
	if s.loaded {
		return nil, ErrUnchanged
	}
	s.loaded = true
	return s.records, nil
}

func (s *static) String() string { return "static list" }
func (s *static) Close() error   { return nil }
