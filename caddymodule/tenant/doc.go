// Package tenant holds the words every other part is built on: what a tenant
// is, how it is named, which states it can be in, and the errors that say why
// a request has none.
//
// It uses the standard library only and does no I/O, so that the gateway and
// the backend can share it.
package tenant
