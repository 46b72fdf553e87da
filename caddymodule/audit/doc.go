// Package audit keeps the audit log: who tried to reach which tenant, and when.
//
// A [Recorder] takes events from the request path without ever blocking it,
// folds a flood into counts, and hands records to its sinks, each from a queue
// and a goroutine of its own. A sink is anybody's implementation of [Sink].
// [NewFile] makes the one that stands on its own: JSON lines in which each
// record carries the hash of the one before, so that [VerifyFile] finds a record
// that was removed, changed or moved.
//
// # The hash rule
//
// A line is one JSON object in ASCII, in this order of members:
//
//	{"seq":1,"time":"…", … ,"prev":"<64 hex>","hash":"<64 hex>"}
//
// The value of "hash" is the lower-case hexadecimal SHA-256 of the line's bytes
// from the first "{" up to, and not including, the comma before "hash"; these
// are all bytes but the last 75 (the line feed not counted). The value of
// "prev" is the hash of the line before, over file ends and restarts, or 64
// zeros in record 1; "seq" grows by one. So a verifier needs no JSON
// canonicalisation: cut, hash, compare.
//
// # What the chain does not show
//
// Whoever may write the file can remove records from its end, or compute the
// whole chain anew. Both are visible only against a head (sequence number and
// hash) that was kept elsewhere: [VerifyReport] gives it.
package audit
