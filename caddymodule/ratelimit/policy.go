package ratelimit

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// MaxLimits is the largest number of limits in one policy. It bounds the cost
// of a decision and lets Decision be a plain value.
const MaxLimits = 8

// FailurePolicy says what happens to requests while the store cannot be
// asked.
type FailurePolicy uint8

const (
	// LocalShare lets each gateway admit its share of the quota, counted in
	// its own memory.
	LocalShare FailurePolicy = iota
	// Deny refuses with ErrStoreUnavailable: exact, and unavailable.
	Deny
	// Open admits everything.
	Open
)

var failurePolicyNames = [...]string{LocalShare: "local_share", Deny: "deny", Open: "open"}

// String returns the name used in configuration.
func (f FailurePolicy) String() string {
	if int(f) < len(failurePolicyNames) {
		return failurePolicyNames[f]
	}
	return "FailurePolicy(" + strconv.Itoa(int(f)) + ")"
}

// ParseFailurePolicy reads a name as String writes it.
func ParseFailurePolicy(s string) (FailurePolicy, error) {
	if i := slices.Index(failurePolicyNames[:], s); i >= 0 {
		return FailurePolicy(i), nil
	}
	return 0, fmt.Errorf("reading failure policy %q: expected one of %s", s, strings.Join(failurePolicyNames[:], ", "))
}

// Policy is a checked list of limits with everything precomputed that a
// decision and its header fields need. It is immutable and safe for
// concurrent use; the exported fields must not be changed.
type Policy struct {
	// Limits are the quotas, all of which a request must fit. The first one
	// is shown in the X-RateLimit fields.
	Limits []Limit

	// OnStoreFailure decides while the store cannot be asked.
	OnStoreFailure FailurePolicy

	specs    [MaxLimits]spec
	nspecs   int
	levels   [2]bool // which levels any limit names
	slots    [2]bool // which levels have a Concurrent limit
	hash     uint64
	hold     int64 // how long permits may be held, where the quotas are large enough; 0: never
	smallest int64 // smallest quota of a window
	headers  policyHeaders
	args     []any // the script's constant arguments

	share atomic.Pointer[sharedPolicy]
}

// NewPolicy checks the limits and precomputes the rest. The slice is copied.
func NewPolicy(limits []Limit, onFailure FailurePolicy) (*Policy, error) {
	if len(limits) == 0 {
		return nil, fmt.Errorf("building rate limit policy: expected at least one limit")
	}
	if len(limits) > MaxLimits {
		return nil, fmt.Errorf("building rate limit policy: %d limits, expected at most %d", len(limits), MaxLimits)
	}
	if int(onFailure) >= len(failurePolicyNames) {
		return nil, fmt.Errorf("building rate limit policy: unknown failure policy %d", onFailure)
	}
	p := &Policy{Limits: slices.Clone(limits), OnStoreFailure: onFailure, nspecs: len(limits)}
	for i := range p.Limits {
		l := &p.Limits[i]
		if l.Name == "" {
			l.Name = l.usualName()
		}
		if l.Level == PerTenant && !strings.HasSuffix(l.Name, tenantSuffix) {
			l.Name += tenantSuffix
		}
		if err := checkLimit(*l); err != nil {
			return nil, fmt.Errorf("building rate limit policy: limit %q: %w", l.Name, err)
		}
		for _, other := range p.Limits[:i] {
			if other.Name == l.Name {
				return nil, fmt.Errorf("building rate limit policy: two limits are named %q", l.Name)
			}
		}
		p.specs[i] = newSpec(*l)
		for j, other := range p.specs[:i] {
			if other.level == l.Level && other.id == p.specs[i].id {
				return nil, fmt.Errorf("building rate limit policy: limits %q and %q count the same", p.Limits[j].Name, l.Name)
			}
		}
		p.levels[l.Level] = true
		if l.Kind == Concurrent {
			p.slots[l.Level] = true
		}
	}
	p.hash = hashPolicy(p)
	p.hold, p.smallest = holdOf(p)
	p.headers = newPolicyHeaders(p)
	p.args = scriptArgs(p)
	return p, nil
}

// hashPolicy identifies what a policy allows, so that an answer remembered
// under one policy is not used under another. Names do not matter.
func hashPolicy(p *Policy) uint64 {
	h := fnv.New64a()
	for _, s := range p.specs[:p.nspecs] {
		fmt.Fprintf(h, "%d/%d/%d;", s.n, s.id, s.level)
	}
	return h.Sum64()
}

// Permits may be held for a sixtieth of the shortest window and at most
// maxHold: the quota comes back that much later. Below minHold holding is not
// worth its cost in quota.
const (
	maxHold = 20 * microsPerSecond
	minHold = microsPerSecond
)

func holdOf(p *Policy) (hold, smallest int64) {
	hold, smallest = maxHold, MaxQuota
	for _, s := range p.specs[:p.nspecs] {
		if s.id == concurrentID {
			// The store must know of every request in progress.
			return 0, 0
		}
		smallest = min(smallest, s.n)
		if s.id.rolling() {
			hold = min(hold, int64(s.id)/60)
		}
	}
	if hold < minHold {
		hold = 0
	}
	return hold, smallest
}

// sharedPolicy is the part of a policy that one of several gateways may admit
// by itself.
type sharedPolicy struct {
	replicas int64
	policy   *Policy
}

// forReplicas returns p with every quota divided by the number of gateways,
// at least 1.
func (p *Policy) forReplicas(replicas int64) *Policy {
	if s := p.share.Load(); s != nil && s.replicas == replicas {
		return s.policy
	}
	limits := slices.Clone(p.Limits)
	for i := range limits {
		limits[i].N = max(1, limits[i].N/replicas)
	}
	part, err := NewPolicy(limits, p.OnStoreFailure)
	if err != nil {
		// Dividing keeps a checked quota within its bounds.
		panic(err)
	}
	p.share.Store(&sharedPolicy{replicas: replicas, policy: part})
	return part
}
