package ratelimit

import (
	_ "embed"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"
)

//go:embed common.lua
var commonSource string

//go:embed acquire.lua
var acquireSource string

//go:embed return.lua
var returnSource string

//go:embed renew.lua
var renewSource string

// The scripts replicate their effects and are named by their SHA-1, so that
// gateways of different versions can share a store.
var (
	acquireScript = redis.NewScript(commonSource + acquireSource)
	returnScript  = redis.NewScript(commonSource + returnSource)
	renewScript   = redis.NewScript(commonSource + renewSource)
)

// accounts is the number of levels the policy names.
func (p *Policy) accounts() int {
	n := 0
	for _, named := range p.levels {
		if named {
			n++
		}
	}
	return n
}

// scriptArgs are the arguments of the script that depend on the policy alone.
func scriptArgs(p *Policy) []any {
	accounts := p.accounts()
	index := [2]int{PerClient: 1, PerTenant: accounts}
	slots := [2]int{PerClient: accounts + 1, PerTenant: accounts + 1}
	if p.slots[PerClient] {
		slots[PerTenant]++
	}
	args := make([]any, 0, 3*p.nspecs)
	for _, s := range p.specs[:p.nspecs] {
		at := index[s.level]
		if s.id == concurrentID {
			at = slots[s.level]
		}
		args = append(args,
			strconv.Itoa(at),
			strconv.FormatInt(int64(s.id), 10),
			strconv.FormatInt(s.n, 10))
	}
	return args
}

// acquireArgs completes the arguments for one ask. The requests it admits are
// known as slot followed by 1, 2 and so on, where the policy limits how many
// are in progress.
func acquireArgs(p *Policy, a ask, slot string) []any {
	args := make([]any, 7, 7+len(p.args))
	args[0], args[1], args[2], args[3], args[4] = p.accounts(), a.need, a.unit, a.want, a.hold
	args[5], args[6] = slot, slotLifetime.Microseconds()
	return append(args, p.args...)
}

// returnArgs are the arguments for giving back n permits granted at an instant
// of the store's clock. The keys are acquireKeys'.
func returnArgs(p *Policy, n, at, hold int64, inc [2]int64) []any {
	args := make([]any, 4, 6+len(p.args))
	args[0], args[1], args[2], args[3] = p.accounts(), n, at, hold
	for i := range p.accounts() {
		args = append(args, inc[i])
	}
	return append(args, p.args...)
}

// acquireKeys names the accounts and slot sets of key, in the order the
// script expects.
func acquireKeys(namespace string, key Key, p *Policy) []string {
	tag := tenantTag(namespace, key.Tenant)
	keys := make([]string, 0, 4)
	if p.levels[PerClient] {
		keys = append(keys, tag+"c:"+clientText(key.Client))
	}
	if p.levels[PerTenant] {
		keys = append(keys, tag+"t")
	}
	return append(keys, slotKeys(tag, key, p)...)
}

func slotKeys(tag string, key Key, p *Policy) []string {
	var keys []string
	if p.slots[PerClient] {
		keys = append(keys, tag+"sc:"+clientText(key.Client))
	}
	if p.slots[PerTenant] {
		keys = append(keys, tag+"st")
	}
	return keys
}

// parseAcquire reads the script's reply. inc gets the incarnation of each
// account, which tells it from one made after the store lost it.
func parseAcquire(p *Policy, raw any, v *verdict) (inc [2]int64, err error) {
	keys := p.accounts()
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
