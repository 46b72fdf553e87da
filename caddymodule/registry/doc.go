// Package registry keeps the tenants in memory, so that a request finds its own
// without I/O and without a lock.
//
// A [Source] reads tenant records from where they are kept: a table, a file, a
// feed. A [Registry] asks it again and again in the background and puts what it
// finds in a [Snapshot], which is never changed and is replaced as a whole. A
// reader takes the current snapshot with one atomic load and may keep it as long as
// it likes. A [CredentialFeed] does the same for API keys and revoked tokens; what
// both have in common is a [Feed].
//
// Three rules hold everywhere. A source that fails, in whatever way, leaves the
// last good snapshot in force; one that suddenly has nothing, or faults wherever
// one looks, has failed. A record that is wrong does not take down the customer who
// was served before: the tenant stays as it was, in the status that its record has
// now, and is named as a [Problem]. Where staying as it was could let in the wrong
// people, it is served to nobody, and says so: see Fault of tenant.Tenant.
package registry
