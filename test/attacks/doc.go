// Package attacks sends to the built product what an attacker would, over raw
// sockets where a client library would tidy it, and asserts for each case the
// safe outcome and that the backend saw no wrong tenant.
//
// The backend is a recorder that keeps every byte, unless a case is about the
// pet store. docs/security.md lists what is defended against, and where.
package attacks
