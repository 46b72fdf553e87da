package ratelimit

import (
	_ "embed"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"
)

//go:embed acquire.lua
var acquireSource string

var acquireScript = redis.NewScript(acquireSource)

// scriptArgs are the arguments of the script that depend on the policy alone.
func scriptArgs(p *Policy) []any {
	index := [2]int{PerClient: 1, PerTenant: 1}
	if p.levels[PerClient] {
		index[PerTenant] = 2
	}
	args := make([]any, 0, 3*p.nspecs)
	for _, s := range p.specs[:p.nspecs] {
		args = append(args,
			strconv.Itoa(index[s.level]),
			strconv.FormatInt(int64(s.id), 10),
			strconv.FormatInt(s.n, 10))
	}
	return args
}

// acquireArgs completes the arguments for one ask.
func acquireArgs(p *Policy, a ask) []any {
	args := make([]any, 4, 4+len(p.args))
	args[0], args[1], args[2], args[3] = a.need, a.unit, a.want, a.hold
	return append(args, p.args...)
}

// acquireKeys names the accounts of key, in the order the script expects.
func acquireKeys(namespace string, key Key, p *Policy) []string {
	tag := tenantTag(namespace, key.Tenant)
	keys := make([]string, 0, 2)
	if p.levels[PerClient] {
		keys = append(keys, clientKeyName(tag, key.Client))
	}
	if p.levels[PerTenant] {
		keys = append(keys, tag+"t")
	}
	return keys
}

// parseAcquire reads the script's reply. inc gets the incarnation of each
// account, which tells it from one made after the store lost it.
func parseAcquire(p *Policy, raw any, v *verdict) (inc [2]int64, err error) {
	keys := 0
	for _, named := range p.levels {
		if named {
			keys++
		}
	}
	list, ok := raw.([]any)
	if !ok || len(list) != 4+keys+3*p.nspecs {
		return inc, fmt.Errorf("reading the script's reply: unexpected shape %T", raw)
	}
	var n [4 + 2 + 3*MaxLimits]int64
	for i, x := range list {
		if n[i], ok = x.(int64); !ok {
			return inc, fmt.Errorf("reading the script's reply: element %d is %T, expected an integer", i, x)
		}
	}
	v.granted, v.extra, v.now, v.retry = n[0], n[1], n[2], n[3]
	copy(inc[:keys], n[4:])
	for i := range p.nspecs {
		at := 4 + keys + 3*i
		v.limits[i] = standing{remaining: n[at], reset: n[at+1], violated: n[at+2] != 0}
	}
	return inc, nil
}
