package ratelimit

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// MaxLimits is the largest number of limits in one policy. It bounds the cost
// of a decision and lets Decision be a plain value.
const MaxLimits = 8

// MaxQuota is the largest quota: the largest integer that a double holds
// exactly, which is what a Redis script calculates with.
const MaxQuota = 1<<53 - 1

// MinWindow and MaxWindow bound a rolling window. Windows are whole seconds,
// because the w parameter of the RateLimit-Policy field is.
const (
	MinWindow = time.Second
	MaxWindow = 366 * 24 * time.Hour
)

// Level says over whom a limit is counted.
type Level uint8

const (
	// PerClient counts each client of a tenant by itself.
	PerClient Level = iota
	// PerTenant counts all clients of a tenant together.
	PerTenant
)

const tenantSuffix = "-tenant"

// Limit is one quota of a policy.
type Limit struct {
	// Name is the policy name in header fields and problem documents. Empty
	// means the usual name of the window: "second", "minute", "hour", "day",
	// or its length as in "10m". At level PerTenant it ends in "-tenant",
	// which NewPolicy appends where it is missing.
	Name string

	// N is the quota: 1 to MaxQuota.
	N int64

	// Window is the length of a Rolling window, and is ignored by the other
	// kinds.
	Window time.Duration

	// Level is over whom N is counted.
	Level Level
}

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

	specs   [MaxLimits]spec
	nspecs  int
	levels  [2]bool // which levels any limit names
	hash    uint64
	headers policyHeaders
	args    []any // the script's constant arguments

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
			l.Name = windowName(l.Window)
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
			if other.Level == l.Level && other.Window == l.Window {
				return nil, fmt.Errorf("building rate limit policy: limits %q and %q count the same window", other.Name, l.Name)
			}
		}
		p.specs[i] = newSpec(*l)
		p.levels[l.Level] = true
	}
	p.hash = hashPolicy(p)
	p.headers = newPolicyHeaders(p)
	p.args = scriptArgs(p)
	return p, nil
}

func checkLimit(l Limit) error {
	switch {
	case l.Name == "" || len(l.Name) > 64:
		return fmt.Errorf("name of %d bytes, expected 1 to 64", len(l.Name))
	case strings.ContainsFunc(l.Name, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.')
	}):
		return fmt.Errorf("expected only letters, digits, '-', '_' and '.' in the name")
	case l.N < 1 || l.N > MaxQuota:
		return fmt.Errorf("quota %d, expected 1 to %d", l.N, int64(MaxQuota))
	case l.Level > PerTenant:
		return fmt.Errorf("unknown level %d", l.Level)
	}
	return checkWindow(l.Window)
}

func checkWindow(w time.Duration) error {
	switch {
	case w < MinWindow:
		return fmt.Errorf("window %s, expected at least %s", w, MinWindow)
	case w > MaxWindow:
		return fmt.Errorf("window %s, expected at most 366 days", w)
	case w%time.Second != 0:
		return fmt.Errorf("window %s, expected whole seconds", w)
	}
	return nil
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
