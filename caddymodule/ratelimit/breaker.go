package ratelimit

import (
	"math/rand/v2"
	"sync"
	"time"
)

// A breaker keeps requests from waiting for a store that does not answer. It
// looks at the share of failures, because a busy gateway sees a few failures
// in any second, and at failures in a row, because an idle one sees few calls
// at all.
const (
	breakerWindow   = time.Second
	breakerMinCalls = 20
	breakerInARow   = 5
	breakerMinPause = 200 * time.Millisecond
	breakerMaxPause = 5 * time.Second
)

// breaker is safe for concurrent use. The zero value is closed: calls pass.
type breaker struct {
	mu       sync.Mutex
	since    time.Time // start of the present counting window
	calls    int
	failed   int
	inARow   int
	open     bool
	probing  bool
	pause    time.Duration
	nextTest time.Time
}

// allow tells whether a call may be made now. While the breaker is open, one
// call at a time is let through after a pause, to see whether the store is
// back; its report closes the breaker or doubles the pause.
func (b *breaker) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return true
	}
	if b.probing || now.Before(b.nextTest) {
		return false
	}
	b.probing = true
	return true
}

// report tells how an allowed call ended.
func (b *breaker) report(now time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ok {
		b.inARow = 0
		if b.open {
			b.open, b.probing = false, false
			b.since, b.calls, b.failed = now, 0, 0
			return
		}
	}
	if now.Sub(b.since) >= breakerWindow {
		b.since, b.calls, b.failed = now, 0, 0
	}
	b.calls++
	if ok {
		return
	}
	b.failed++
	b.inARow++
	switch {
	case b.open && b.probing:
		b.probing = false
		b.pause = min(2*b.pause, breakerMaxPause)
		b.schedule(now)
	case !b.open && (b.inARow >= breakerInARow || b.calls >= breakerMinCalls && 2*b.failed >= b.calls):
		b.open = true
		b.pause = breakerMinPause
		b.schedule(now)
	}
}

// schedule spreads the tests of many gateways over half a pause.
func (b *breaker) schedule(now time.Time) {
	b.nextTest = now.Add(b.pause/2 + rand.N(b.pause/2+1))
}

// forget takes an allowed call back that ended without saying anything about
// the store.
func (b *breaker) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
}

func (b *breaker) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}
