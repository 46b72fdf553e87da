package audit

import "time"

// manyClients is the reason of a record that counts events of clients that no
// longer fitted the table.
const manyClients = "more clients than are told apart"

// maxTypes bounds the kinds of such records. Types are words of the program;
// the bound holds if one day they are not.
const maxTypes = 64

// aggregator tells repeats from first occurrences, in memory that does not grow
// with the number of events, clients or the length of their values.
type aggregator struct {
	window     time.Duration
	burst      int
	maxClients int
	seen       map[aggKey]*aggEntry
	overflow   map[string]*aggEntry // by type
}

type aggKey struct{ typ, client string }

type aggEntry struct {
	start   time.Time // of the window
	written int       // records of their own in this window
	first   Event     // the first event that was only counted
	count   int64     // events counted and not yet written
	last    time.Time
}

func newAggregator(window time.Duration, burst, maxClients int) *aggregator {
	return &aggregator{
		window: window, burst: burst, maxClients: maxClients,
		seen: make(map[aggKey]*aggEntry), overflow: make(map[string]*aggEntry),
	}
}

// fold counts e if it is a repeat, and reports whether it did. When e begins a
// new window of its client and type, the counts of the old one go to emit.
func (a *aggregator) fold(e *Event, limit int, emit func(Record) bool) bool {
	key := aggKey{clipView(e.Type, limit), clipView(e.ClientIP, limit)}
	entry := a.seen[key]
	if entry == nil {
		if len(a.seen) >= a.maxClients {
			a.foldOverflow(e, limit)
			return true
		}
		key = aggKey{clip(e.Type, limit), clip(e.ClientIP, limit)}
		entry = &aggEntry{start: e.Time}
		a.seen[key] = entry
	}
	if age := e.Time.Sub(entry.start); age >= a.window || age <= -a.window {
		entry.emit(emit)
		*entry = aggEntry{start: e.Time}
	}
	if entry.written < a.burst {
		entry.written++
		return false
	}
	if entry.count == 0 {
		entry.first = bounded(*e, limit)
	}
	entry.add(e)
	return true
}

func (a *aggregator) foldOverflow(e *Event, limit int) {
	typ := clip(e.Type, limit)
	entry := a.overflow[typ]
	if entry == nil {
		if len(a.overflow) >= maxTypes {
			typ = "other"
		}
		if entry = a.overflow[typ]; entry == nil {
			entry = &aggEntry{start: e.Time}
			a.overflow[typ] = entry
		}
	}
	if entry.count == 0 {
		entry.first = Event{Time: e.Time, Type: typ, Reason: manyClients}
	}
	entry.add(e)
}

func (e *aggEntry) add(ev *Event) {
	e.count += max(ev.Count, 1)
	e.last = ev.Time
}

// emit writes what was counted and starts counting anew.
func (e *aggEntry) emit(emit func(Record) bool) {
	if e.count == 0 {
		return
	}
	rec := Record{Event: e.first, Last: e.last}
	rec.Count = e.count
	emit(rec)
	e.count = 0
}

// collect emits the counts of windows that have ended, or of all, and forgets
// entries whose window has ended.
func (a *aggregator) collect(now time.Time, all bool, emit func(Record) bool) {
	ended := func(e *aggEntry) bool {
		age := now.Sub(e.start)
		return age >= a.window || age <= -a.window
	}
	for key, e := range a.seen {
		if all || ended(e) {
			e.emit(emit)
		}
		if ended(e) {
			delete(a.seen, key)
		}
	}
	for typ, e := range a.overflow {
		if all || ended(e) {
			e.emit(emit)
		}
		if ended(e) {
			delete(a.overflow, typ)
		}
	}
}

// clipView is clip without the copy, for looking up.
func clipView(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:len(clip(s, limit))]
}
