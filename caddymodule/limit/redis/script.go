package redis

import (
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"fmt"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

//go:embed common.lua
var commonSource string

//go:embed acquire.lua
var acquireSource string

//go:embed return.lua
var returnSource string

//go:embed slots.lua
var slotsSource string

// script is a Lua script and the SHA-1 that Redis names it by.
type script struct{ source, sha string }

func newScript(source string) *script {
	sum := sha1.Sum([]byte(source))
	return &script{source, hex.EncodeToString(sum[:])}
}

// command is the command that runs the script, by name or with its source.
func (s *script) command(keys []string, args []any, source bool) []any {
	verb, body := "evalsha", s.sha
	if source {
		verb, body = "eval", s.source
	}
	command := make([]any, 0, 3+len(keys)+len(args))
	command = append(command, verb, body, len(keys))
	for _, k := range keys {
		command = append(command, k)
	}
	return append(command, args...)
}

// The scripts replicate their effects and are named by their SHA-1, so that
// gateways of different versions can share a store.
var (
	acquireScript = newScript(commonSource + acquireSource)
	returnScript  = newScript(commonSource + returnSource)
	slotsScript   = newScript(commonSource + slotsSource)
)

// counters is the number of counters a policy charges: one for each level it names.
func counters(p *limit.Policy) int {
	n := 0
	for level := range limit.PerTenant + 1 {
		if p.Names(level) {
			n++
		}
	}
	return n
}

// appendLimits appends the arguments that describe the limits: of each the index
// of its key, its window and its quota.
func appendLimits(args []any, p *limit.Policy) []any {
	n := counters(p)
	index := [2]int{limit.PerClient: 1, limit.PerTenant: n}
	slots := [2]int{limit.PerClient: n + 1, limit.PerTenant: n + 1}
	if p.NamesSlots(limit.PerClient) {
		slots[limit.PerTenant]++
	}
	for i := range p.Limits {
		l := &p.Limits[i]
		at := index[l.Level]
		if l.Kind == limit.Concurrent {
			at = slots[l.Level]
		}
		args = append(args, at, int64(window.IDOf(l)), l.N)
	}
	return args
}

// acquireArgs are the arguments for one ask of a gateway, with what it says of the
// requests in progress that the policy limits.
func acquireArgs(p *limit.Policy, a window.Ask, b *slotBook, c slotClaim) []any {
	args := make([]any, 10, 10+3*len(p.Limits))
	args[0], args[1], args[2], args[3], args[4] = counters(p), a.Need, a.Unit, a.Want, a.Hold
	args[5], args[6], args[7], args[8], args[9] = b.gateway, b.lifetime.Microseconds(), c.seq, c.said[0], c.said[1]
	return appendLimits(args, p)
}

// returnArgs are the arguments for giving back n permits granted at an instant
// of the store's clock. The keys are acquireKeys'.
func returnArgs(p *limit.Policy, n, at, hold int64, inc [2]int64) []any {
	args := make([]any, 4, 6+3*len(p.Limits))
	args[0], args[1], args[2], args[3] = counters(p), n, at, hold
	for i := range counters(p) {
		args = append(args, inc[i])
	}
	return appendLimits(args, p)
}

// acquireKeys names the counters and slot sets of key, in the order the
// script expects.
func acquireKeys(namespace string, key limit.Key, p *limit.Policy) []string {
	tag := tenantTag(namespace, key.Tenant)
	keys := make([]string, 0, 4)
	if p.Names(limit.PerClient) {
		keys = append(keys, tag+"c:"+clientText(key.Client))
	}
	if p.Names(limit.PerTenant) {
		keys = append(keys, tag+"t")
	}
	return append(keys, slotKeys(tag, key, p)...)
}

func slotKeys(tag string, key limit.Key, p *limit.Policy) []string {
	var keys []string
	if p.NamesSlots(limit.PerClient) {
		keys = append(keys, tag+"sc:"+clientText(key.Client))
	}
	if p.NamesSlots(limit.PerTenant) {
		keys = append(keys, tag+"st")
	}
	return keys
}

// parseAcquire reads the script's reply. inc gets the incarnation of each
// counter, which tells it from one made after the store lost it.
func parseAcquire(p *limit.Policy, raw any, v *window.Verdict) (inc [2]int64, err error) {
	keys := counters(p)
	list, ok := raw.([]any)
	if !ok || len(list) != 4+keys+3*len(p.Limits) {
		return inc, fmt.Errorf("reading the script's reply: unexpected shape %T", raw)
	}
	var n [4 + 2 + 3*limit.MaxLimits]int64
	for i, x := range list {
		if n[i], ok = x.(int64); !ok {
			return inc, fmt.Errorf("reading the script's reply: element %d is %T, expected an integer", i, x)
		}
	}
	v.Granted, v.Extra, v.Now, v.Retry = n[0], n[1], n[2], n[3]
	copy(inc[:keys], n[4:])
	for i := range p.Limits {
		at := 4 + keys + 3*i
		v.Limits[i] = window.Standing{Remaining: n[at], Reset: n[at+1], Violated: n[at+2] != 0}
	}
	return inc, nil
}
