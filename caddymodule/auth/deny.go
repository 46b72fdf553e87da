package auth

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// DenyList names credentials that were revoked before their time. It is asked
// at every request, does no I/O and is safe for concurrent use.
type DenyList interface {
	Denied(*Principal) bool
}

// MemoryDenyList is a deny list in memory. The zero value is empty and ready
// to use; a change is in force for the next request.
type MemoryDenyList struct {
	mu  sync.Mutex // serialises changes
	now atomic.Pointer[denied]
}

// denied is one state of the list; it is never changed.
type denied struct {
	tokens   map[string]time.Time // by id, until when the entry is needed
	subjects map[string]subjectDenial
}

type subjectDenial struct{ before, until time.Time }

// DenyToken refuses the token, or API key record, of that id. The entry is
// dropped by [MemoryDenyList.Sweep] after until, the token's own expiry; zero
// keeps it.
func (l *MemoryDenyList) DenyToken(id string, until time.Time) {
	l.change(func(d *denied) { d.tokens[id] = until })
}

// DenySubject refuses tokens of the subject that were issued before the time,
// or do not say when. The entry is dropped by Sweep after until, when the last
// of those has expired; zero keeps it.
func (l *MemoryDenyList) DenySubject(subject string, before, until time.Time) {
	l.change(func(d *denied) { d.subjects[subject] = subjectDenial{before, until} })
}

// Sweep drops entries that are no longer needed.
func (l *MemoryDenyList) Sweep(now time.Time) {
	over := func(until time.Time) bool { return !until.IsZero() && now.After(until) }
	l.change(func(d *denied) {
		maps.DeleteFunc(d.tokens, func(_ string, until time.Time) bool { return over(until) })
		maps.DeleteFunc(d.subjects, func(_ string, s subjectDenial) bool { return over(s.until) })
	})
}

func (l *MemoryDenyList) change(f func(*denied)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := &denied{map[string]time.Time{}, map[string]subjectDenial{}}
	if old := l.now.Load(); old != nil {
		maps.Copy(next.tokens, old.tokens)
		maps.Copy(next.subjects, old.subjects)
	}
	f(next)
	l.now.Store(next)
}

// Denied reports whether the principal's token id or subject is on the list.
func (l *MemoryDenyList) Denied(p *Principal) bool {
	d := l.now.Load()
	if d == nil {
		return false
	}
	if _, there := d.tokens[p.TokenID]; there && p.TokenID != "" {
		return true
	}
	s, there := d.subjects[p.Subject]
	return there && p.Subject != "" && p.IssuedAt.Before(s.before)
}

var _ DenyList = (*MemoryDenyList)(nil)
