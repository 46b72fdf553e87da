package registry

import (
	"slices"
	"sync"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Event is what a subscriber is told: a [Loaded], a [Failed] or a [StoreFailed].
type Event interface{ event() }

// MaxListed is how many slugs each list of a [Loaded] holds at most. Who must
// know about every tenant compares snapshots.
const MaxListed = 100

// Loaded says that a new snapshot is in force, the current one.
type Loaded struct {
	// First is true for the first snapshot that a registry loads, and Restored for
	// one from the [Store] that comes before it because the source is down.
	First, Restored bool
	// Snapshot is the new snapshot.
	Snapshot *Snapshot
	// Tenants and Hosts count what it holds.
	Tenants, Hosts int
	// Added, Changed and Removed list the first [MaxListed] slugs of each kind.
	Added, Changed, Removed []tenant.Slug
	// AddedCount, ChangedCount and RemovedCount count all of them.
	AddedCount, ChangedCount, RemovedCount int
	// Problems are the faults in the records, the first [MaxProblems] of them, and
	// ProblemCount counts all.
	Problems     []Problem
	ProblemCount int
}

// Failed says that the source could not be read and the last good snapshot stays
// in force. It comes after every failed look at the source.
type Failed struct {
	Err error
	// Since is when the first failure in a row happened, and Count counts them:
	// those who log may do so when it is 1 and seldom after.
	Since time.Time
	Count int
	// LoadedAt is when the snapshot in force was last known to be good, zero if
	// there is none.
	LoadedAt time.Time
}

// StoreFailed says that the snapshot could not be saved to the [Store] or
// restored from it. Nothing else is affected.
type StoreFailed struct{ Err error }

func (Loaded) event()      {}
func (Failed) event()      {}
func (StoreFailed) event() {}

func newLoaded(s *Snapshot, c change, first bool) Loaded {
	listed := func(slugs []tenant.Slug) []tenant.Slug {
		return slices.Clone(slugs[:min(len(slugs), MaxListed)])
	}
	return Loaded{
		First: first, Snapshot: s, Tenants: s.Len(), Hosts: s.Hosts(),
		Added: listed(c.added), Changed: listed(c.changed), Removed: listed(c.removed),
		AddedCount: len(c.added), ChangedCount: len(c.changed), RemovedCount: len(c.removed),
		Problems: s.problems, ProblemCount: s.faults,
	}
}

// Subscribe has f called with every event from now on, and at first with the
// latest [Loaded] or [Failed] and a [StoreFailed] that still stands, so that a
// subscriber that comes late knows where things are. All calls come from the one
// goroutine that refreshes, so f must not block it nor call Refresh or Close. A
// call may be under way when cancel returns; none begins after it.
func (r *Registry) Subscribe(f func(Event)) (cancel func()) {
	s := &subscriber{call: f}
	r.subs.add(s)
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return func() { r.subs.remove(s) }
}

type subscriber struct {
	call    func(Event)
	greeted bool // has got the events before it came
}

type subscribers struct {
	mu  sync.Mutex
	all []*subscriber
	// state and store are the latest events of each kind, nil if there is none.
	// Only the refreshing goroutine uses them.
	state, store Event
}

func (s *subscribers) add(sub *subscriber) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(slices.Clone(s.all), sub)
}

func (s *subscribers) remove(sub *subscriber) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(slices.Clone(s.all), func(other *subscriber) bool { return other == sub })
}

func (s *subscribers) current() []*subscriber {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

func (s *subscribers) publish(e Event) {
	s.greet()
	if _, ok := e.(StoreFailed); ok {
		s.store = e
	} else {
		s.state = e
	}
	for _, sub := range s.current() {
		if sub.greeted {
			sub.call(e)
		}
	}
	s.greet()
}

// greet tells newcomers where things are.
func (s *subscribers) greet() {
	for _, sub := range s.current() {
		if sub.greeted {
			continue
		}
		sub.greeted = true
		for _, e := range []Event{s.state, s.store} {
			if e != nil {
				sub.call(e)
			}
		}
	}
}
