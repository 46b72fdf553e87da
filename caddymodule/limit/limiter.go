package limit

import (
	"context"
	"errors"
	"io"
)

// ErrStoreUnavailable is wrapped by every error of Take: the shared store
// could not be asked within the wait budget and the policy says Deny. It
// never means that the request was over a limit.
var ErrStoreUnavailable = errors.New("rate limit store unavailable")

// Limiter decides requests. Implementations are safe for concurrent use. What a
// limiter can do besides, it says by the interfaces below.
type Limiter interface {
	// Take decides one request of the given cost for all limits of p at
	// once: either every limit is charged or none is. A cost below 1 counts
	// as 1. The error is nil unless the store failed and p says Deny; it then
	// wraps ErrStoreUnavailable and the Decision is of no use.
	Take(ctx context.Context, key Key, p *Policy, cost int64) (Decision, error)

	// Close releases what the limiter holds. It is idempotent. Take must not
	// be called after Close; a Slot may still be released.
	Close() error
}

// Shared is the ability of a limiter to say where it counts. One without it
// counts in this process.
type Shared interface {
	Limiter

	// Shared tells whether other gateways with the same configuration share the
	// counts.
	Shared() bool
}

// Checker is the ability of a limiter to look at what it depends on.
type Checker interface {
	Limiter

	// Check returns what an operator should know about the store. It does I/O and
	// is meant for the start of a gateway, beside it; an error means that the
	// store could not be asked.
	Check(ctx context.Context) (warnings []string, err error)
}

// Counted is the ability of a limiter to say what it asks of its store.
type Counted interface {
	Limiter

	// StoreStats returns the counts since the start; it does no I/O.
	StoreStats() StoreStats
}

// StoreStats are counts that only grow.
type StoreStats struct {
	Calls    uint64 // commands sent to the store
	Failures uint64 // requests and commands without a usable answer in time
}

// ErrSnapshot is wrapped by errors of Restore about what was read: not a
// snapshot, of another version, cut short or damaged.
var ErrSnapshot = errors.New("unusable rate limit snapshot")

// Saver is the ability of a limiter that counts in this process to survive its
// end, so that a restart gives nobody a fresh quota.
type Saver interface {
	Limiter

	// Snapshot writes what has been consumed. Requests may be decided meanwhile;
	// each key is consistent in itself. Requests in progress are not part of it,
	// because they end with the process.
	Snapshot(w io.Writer) error

	// Restore takes in what Snapshot wrote. What it cannot use changes nothing
	// and gives an error that wraps ErrSnapshot. Keys that have been used since
	// the start keep what they have.
	Restore(r io.Reader) error
}
