package registry

import (
	"slices"
	"sync"
	"time"
)

// Event is what a subscriber is told: a [Loaded] or a [CredentialsLoaded], a
// [Failed] or a [StoreFailed].
type Event interface{ event() }

// Loaded says that a new snapshot is in force, the current one.
type Loaded struct {
	// First is true for the first snapshot that a registry loads, and Restored for
	// one from the [Store] that comes before it because the source is down.
	First, Restored bool
	// Snapshot is the new snapshot.
	Snapshot *Snapshot
	// Added, Changed and Removed count the tenants that are new, different and gone
	// since the snapshot before.
	Added, Changed, Removed int
}

// CredentialsLoaded says that other credentials are in force.
type CredentialsLoaded struct {
	// Restored is true for those from the [Store], because the source is down.
	Restored    bool
	Credentials *Credentials
}

// Failed says that the source could not be read and the last good value stays in
// force. It comes after every failed poll.
type Failed struct {
	Err error
	// Since is when the first failure in a row happened, and Count counts them:
	// those who log may do so when it is 1 and seldom after.
	Since time.Time
	Count int
	// LoadedAt is when the value in force was last known to be good, zero if there
	// is none.
	LoadedAt time.Time
}

// StoreFailed says that the value could not be saved to the [Store] or restored
// from it. Nothing else is affected.
type StoreFailed struct{ Err error }

func (Loaded) event()            {}
func (CredentialsLoaded) event() {}
func (Failed) event()            {}
func (StoreFailed) event()       {}

// subscribers are told of events one at a time.
type subscribers struct {
	mu  sync.Mutex
	all []*func(Event)
	// state and store are the latest events of each kind, nil if there is none.
	state, store Event
}

// add tells a newcomer where things are.
func (s *subscribers) add(call *func(Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, call)
	for _, e := range []Event{s.state, s.store} {
		if e != nil {
			(*call)(e)
		}
	}
}

func (s *subscribers) remove(call *func(Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(other *func(Event)) bool { return other == call })
}

func (s *subscribers) publish(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := e.(StoreFailed); ok {
		s.store = e
	} else {
		s.state = e
	}
	for _, call := range s.all {
		(*call)(e)
	}
}

// stored takes note of how saving or restoring went.
func (s *subscribers) stored(err error) {
	if err != nil {
		s.publish(StoreFailed{Err: err})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store = nil
}
