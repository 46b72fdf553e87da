// Package registry keeps the tenants in memory, so that a request finds its own
// without I/O and without a lock.
//
// A [Source] reads tenant records from where they are kept: a SQLite or Postgres
// table, a JSON or YAML file. A [Registry] asks it again and again in the
// background and puts what it finds in a [Snapshot], which is never changed and
// is replaced as a whole. A reader takes the current snapshot with one atomic
// load and may keep it as long as it likes.
//
// A [CredentialFeed] does the same for API keys and revoked tokens.
//
// Two rules hold everywhere. A source that fails, in whatever way, leaves the
// last good snapshot in force. A record that is wrong, or contradicts an older
// one, is left out and named as a [Problem]; the others are served.
package registry
