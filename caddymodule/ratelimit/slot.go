package ratelimit

import (
	"sync/atomic"
	"time"
)

// Slot is a request's place among those in progress, where the policy has a
// Concurrent limit. Release gives it back.
type Slot struct {
	released atomic.Bool
	release  func()
}

// Release gives the slot back. It is safe to call on nil, more than once and
// from any goroutine, and does not wait for anything.
func (s *Slot) Release() {
	if s != nil && !s.released.Swap(true) {
		s.release()
	}
}

// slotLifetime is how long the store keeps the slot of a gateway that has
// stopped renewing it; slotRenewal is how often a gateway renews.
const (
	slotLifetime = 60 * time.Second
	slotRenewal  = slotLifetime / 3
)
