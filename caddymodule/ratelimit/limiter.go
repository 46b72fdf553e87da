package ratelimit

import (
	"context"
	"errors"
	"time"
)

// ErrStoreUnavailable is wrapped by every error of Take: the shared store
// could not be asked within the wait budget and the policy says Deny. It
// never means that the request was over a limit.
var ErrStoreUnavailable = errors.New("rate limit store unavailable")

// Limiter decides requests. Implementations are safe for concurrent use.
type Limiter interface {
	// Take decides one request of the given cost for all limits of p at
	// once: either every limit is charged or none is. A cost below 1 counts
	// as 1. The error is nil unless the store failed and p says Deny; it then
	// wraps ErrStoreUnavailable and the Decision is of no use.
	Take(ctx context.Context, key Key, p *Policy, cost int64) (Decision, error)

	// Close releases what the limiter holds. It is idempotent. Take must not
	// be called after Close.
	Close() error
}

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
