// Package framing tells whether the bytes that a client sends on an HTTP/1
// connection can be read in one way only. Where two programs in a row disagree on
// where a request ends, one client's bytes become another's request ("request
// smuggling"). Go's server reads some requests that RFC 9112 permits it to read, and
// that another program may read otherwise; here they are faults.
//
// A [Checker] only follows the bytes: it holds no connection, reads nothing and
// keeps 64 bytes of the line at hand, whatever its length.
package framing
