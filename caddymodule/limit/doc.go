// Package limit is what a limit is: its grammar, read by Parse for the gateway
// and the backend alike, the policy that several limits make, whom they count,
// and what a limiter answers. It imports the standard library only.
//
// Who counts is a [Limiter]. Two are part of the house, and pass the conformance
// suite limit/limitertest as a stranger's must:
//
//	limit/memory   counts in this process
//	limit/redis    counts in a store that any number of gateways share
//
// Both decide by limit/window, the arithmetic of segmented rolling windows: no
// interval of a window's length, wherever it starts, ever contains more
// admissions than its quota. One decision covers every limit of a policy, all or
// nothing: a refusal debits nothing. The limits travel with every call, so a plan
// change acts on the next request and stored consumption is kept.
package limit
