package audit

import (
	"net/http"
	"time"
)

// Sink is where records go: a file, a log, a table. The suite in sinktest checks
// what is said here.
//
// Write takes records in order, beginning with the first, and returns how many it
// took: all of them exactly when err is nil. Records that it took are safe: they
// survive a crash of the process. Those that it did not take are given again,
// later and perhaps with others behind them, each with the same ID; a sink that
// cannot tell whether it took some may take them again, and should drop repeats
// by their IDs where it can. Write neither changes the slice nor keeps it. It may
// block, since other sinks and requests do not wait for it, but not for good: it
// gives up after seconds with an error.
//
// A sink opens its file or connection with the first Write and not before, since
// one is made to validate a configuration too. After an error the next Write
// tries anew. A second sink may be there for the same place while a reload
// replaces the first; it may err until the first is closed.
//
// Close lets go of everything. It is called once, also when nothing was written.
//
// The recorder calls all methods of one sink from one goroutine at a time.
type Sink interface {
	Write(records []Record) (taken int, err error)
	Close() error
}

// PreparedSink is a [Sink] that has something to do when a configuration starts,
// as making a folder. An error stops the start. Prepare may be called again
// beside Write when another configuration takes the sink over.
type PreparedSink interface {
	Sink
	Prepare() error
}

// Signer puts the gateway's signature over a delivery's body into its header. It
// is safe for concurrent use.
type Signer func(header http.Header, body []byte, now time.Time) error

// SignedSink is a [Sink] whose deliveries are signed by the identity key, anew at
// each try. SignWith is called once, before the first Write; while the signer
// errs, so does Write, wrapping the signer's error with %w.
type SignedSink interface {
	Sink
	SignWith(Signer)
}

// BatchingSink is a [Sink] that wants a pause after each Write that wrote, so
// that what happens in the meantime comes in one batch. Closing the recorder does
// not wait for its end.
type BatchingSink interface {
	Sink
	BatchEvery() time.Duration
}
