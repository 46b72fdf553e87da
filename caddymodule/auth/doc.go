// Package auth says who a caller is and which tenants they belong to: it
// verifies bearer tokens (JWT, RFC 7519, signed as a compact JWS, RFC 7515) and
// API keys.
//
// What is believed is narrow on purpose (RFC 8725). The key decides which
// algorithms may have made a signature, never the token; "none" is no
// algorithm here. Header and claims are read strictly: a name that is there
// twice, in another case, or with a value of another type is a bad token and
// not a matter of taste. A token without an expiry never passes.
//
// A [Verifier] remembers what it has verified, so a signature is checked once
// per token and key set, while expiry and revocation are checked at every
// request. Keys come from a [KeySource]: fixed, a file that is watched, or a
// URL that is fetched in the background; a request waits for the network only
// when its token names a key nobody knows yet, and then once per interval.
//
// The package does no logging and never puts a token, or any part of one that
// was not verified, into an error.
package auth
