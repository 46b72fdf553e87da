// Package ratelimit decides how many requests a tenant and its clients may
// make: exactly, over any number of gateways, for several windows and levels
// at once.
//
// The windows are segmented rolling windows (window.go): no interval of a
// window's length, wherever it starts, ever contains more admissions than its
// quota. One decision covers every limit of a policy, all or nothing: a
// refusal debits nothing.
//
// Two limiters share that one algorithm and pass one conformance suite
// (limitertest): Memory counts in this process, Redis counts in a store that
// any number of gateways share. The limits travel with every call, so a plan
// change acts on the next request and stored consumption is kept.
//
// The package knows nothing of Caddy and nothing of who a tenant is. Apart
// from go-redis in the Redis limiter it uses the standard library only.
package ratelimit
