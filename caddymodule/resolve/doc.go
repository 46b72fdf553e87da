// Package resolve answers one question: whom does a request name?
//
// A request can name a tenant in its host, in the first segment of its path and
// in a header. Each place has its own [Resolver]; a [Chain] asks all that a site
// has configured, and all that answer must name the same tenant. Two answers are
// a conflict and never "first wins", because the part that lost may be the one
// the backend believes.
//
// Nothing here does I/O, keeps state or writes to the request, so everything is
// safe for concurrent use. What a resolver cannot read without doubt it refuses.
package resolve
