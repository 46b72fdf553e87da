package limit

import (
	"sync/atomic"
	"time"
)

// Decision is the answer to one request.
type Decision struct {
	// Allowed tells whether the request may pass.
	Allowed bool

	// Degraded tells that the store could not be asked and the policy's
	// OnStoreFailure decided. States are then left empty rather than guessed.
	Degraded bool

	// RetryAfter is how long the client must wait before the same request
	// can be admitted, if nobody else takes the quota. It is positive exactly
	// when the request was refused.
	RetryAfter time.Duration

	// Slot must be released when the request has ended. It is nil, which is
	// fine to release, unless the policy has a Concurrent limit and the
	// request was admitted.
	Slot *Slot

	// Len is the number of valid States: the number of limits in the policy,
	// or 0 when Degraded.
	Len int

	// States are in the order of the policy's limits.
	States [MaxLimits]State
}

// State tells where one limit stands after the decision.
type State struct {
	// Remaining is the quota left.
	Remaining int64

	// Reset is the time until additional quota becomes available (the "t" of
	// draft-ietf-httpapi-ratelimit-headers-10); for a violated limit, until
	// there is enough for the refused request. Zero when the quota is full.
	Reset time.Duration

	// Violated tells that this limit refused the request.
	Violated bool
}

// Slot is a request's place among those in progress, where the policy has a
// Concurrent limit. Release gives it back.
type Slot struct {
	released atomic.Bool
	release  func()
}

// NewSlot returns a slot whose first Release calls release, which must neither
// block nor do I/O.
func NewSlot(release func()) *Slot { return &Slot{release: release} }

// Release gives the slot back. It is safe to call on nil, more than once and
// from any goroutine, and does not wait for anything.
func (s *Slot) Release() {
	if s != nil && !s.released.Swap(true) {
		s.release()
	}
}
