package registry

import (
	"context"
	"errors"
	"time"
)

// ErrUnchanged is what a [Source] may return instead of records when nothing has
// changed since its last successful Load. A source need not find that out: the
// registry compares what it is given with what it has.
var ErrUnchanged = errors.New("unchanged")

// Source reads tenant records from where they are kept. A [Registry] never calls
// its methods at the same time, except for String.
//
// What a source is able to do beyond this it says with further interfaces of this
// file; none of them is needed. The package sourcetest has the tests that every
// source must pass.
type Source interface {
	// Load reads all tenants, or returns [ErrUnchanged]. Any other error means
	// that nothing is known about the tenants; the source must be able to recover
	// by itself in a later call. Load gives up when the context ends.
	//
	// What is wrong with one record is no error of Load: see [Record.Fail]. The
	// registry only numbers the records, and keeps none of them.
	Load(ctx context.Context) ([]Record, error)
	// String says what the source is: its kind and its place, as in "sqlite
	// data/catalog.db", without secrets and without what only tunes it. Saved
	// snapshots are named by it, and people read it in logs.
	String() string
	// Close releases what the source holds. No method is called after it.
	Close() error
}

// Forgetful is a source that can be told to take nothing for granted: whoever
// asks for a refresh gets one, whatever the source believes.
type Forgetful interface {
	// Forget makes the next Load read everything and not return [ErrUnchanged].
	Forget()
}

// EmptyMeant is a source that can tell an empty list from one that is not there.
// Otherwise a list that held tenants and comes back empty is taken for a mistake.
type EmptyMeant interface {
	// EmptyIsMeant reports whether somebody has written that there are no tenants.
	// It is asked after a Load that returned no records.
	EmptyIsMeant() bool
}

// Notifier is a source that learns of changes by itself.
type Notifier interface {
	// Changed returns a channel that receives after a change, perhaps more often.
	// The channel is the same in every call and is not closed before Close.
	Changed() <-chan struct{}
}

// Paced is a source that knows how often a poll is worth its cost.
type Paced interface {
	// Interval is the time between two polls if [FeedOptions] have none.
	Interval() time.Duration
}

// Waiting is a source whose Load may wait for somebody else's answer, which is
// no work: see [FeedOptions] for what work is bounded by.
type Waiting interface {
	// Waited is for how long the last Load did nothing but wait.
	Waited() time.Duration
}

// Merge is for sources that learn only what has changed. It returns the records with
// those that are new or different in the place of the ones of the same slug, and
// without those whose slugs are removed. The slices stay as they are.
func Merge(records, changed []Record, removed []string) []Record {
	news := make(map[string]*Record, len(changed)+len(removed)) // nil once it has its place
	for _, slug := range removed {
		news[slug] = nil
	}
	for i := range changed {
		news[changed[i].Slug] = &changed[i]
	}
	merged := make([]Record, 0, len(records)+len(changed))
	take := func(r *Record) {
		if changed, ok := news[r.Slug]; ok {
			news[r.Slug], r = nil, changed
		}
		if r != nil {
			merged = append(merged, *r)
			merged[len(merged)-1].Row, merged[len(merged)-1].Line = len(merged), 0
		}
	}
	for i := range records {
		take(&records[i])
	}
	for i := range changed {
		take(&changed[i])
	}
	return merged
}
