package audit

import "time"

// manyClients stands for the client, and is the reason, of a record that counts
// the events of clients that no longer fit the table.
const manyClients = "more clients than are told apart"

// aggregator tells repeats from first occurrences, in memory that does not grow
// with the number of events or clients. Events come to it bounded.
type aggregator struct {
	window     time.Duration
	burst      int
	maxClients int
	seen       map[clientType]*repeats
}

type clientType struct{ client, typ string }

// repeats are the events of one client and type in one window.
type repeats struct {
	start   time.Time // of the window
	written int       // records of their own in this window
	first   Event     // the first event that was only counted
	count   int64     // events counted and not yet written
	last    time.Time
}

// fold counts e if it is a repeat, and reports whether it did. When e begins a
// new window of its client and type, the count of the old one goes to emit.
func (a *aggregator) fold(e Event, emit func(Record) bool) bool {
	key, burst := clientType{e.ClientIP, e.Type}, a.burst
	entry := a.seen[key]
	if entry == nil && len(a.seen) >= a.maxClients {
		// Types are words of the program, so these entries are few.
		key.client, burst = manyClients, 0
		e = Event{Time: e.Time, Type: e.Type, Reason: manyClients, Count: e.Count}
		entry = a.seen[key]
	}
	if entry == nil {
		entry = &repeats{start: e.Time}
		a.seen[key] = entry
	}
	if a.ended(entry, e.Time) {
		entry.emit(emit)
		*entry = repeats{start: e.Time}
	}
	if entry.written < burst {
		entry.written++
		return false
	}
	if entry.count == 0 {
		entry.first = e
	}
	entry.count += e.Count
	entry.last = e.Time
	return true
}

// ended reports whether the entry's window is over. A clock that was set back by
// more than a window ends it too.
func (a *aggregator) ended(entry *repeats, now time.Time) bool {
	return now.Sub(entry.start).Abs() >= a.window
}

// emit writes what was counted and starts counting anew.
func (r *repeats) emit(emit func(Record) bool) {
	if r.count == 0 {
		return
	}
	rec := Record{Event: r.first, Last: r.last}
	rec.Count = r.count
	emit(rec)
	r.count = 0
}

// collect emits the counts of windows that have ended, or of all, and forgets
// entries whose window has ended.
func (a *aggregator) collect(now time.Time, all bool, emit func(Record) bool) {
	for key, entry := range a.seen {
		over := a.ended(entry, now)
		if all || over {
			entry.emit(emit)
		}
		if over {
			delete(a.seen, key)
		}
	}
}
