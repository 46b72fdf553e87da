package limit

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
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

	levels      [2]bool // which levels any limit names
	slots       [2]bool // which levels have a Concurrent limit
	fingerprint uint64
	headers     policyHeaders
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
	p := &Policy{Limits: slices.Clone(limits), OnStoreFailure: onFailure}
	for _, l := range p.Limits {
		if err := checkLimit(l); err != nil {
			return nil, fmt.Errorf("building rate limit policy: %w", err)
		}
		p.levels[l.Level] = true
		if l.Kind == Concurrent {
			p.slots[l.Level] = true
		}
	}
	if err := checkTogether(p.Limits); err != nil {
		return nil, fmt.Errorf("building rate limit policy: %w", err)
	}
	p.fingerprint = fingerprint(p.Limits)
	p.headers = newPolicyHeaders(p)
	return p, nil
}

// checkTogether refuses limits that count the same, and those that a client could
// not tell apart.
func checkTogether(limits []Limit) error {
	for i, l := range limits {
		for _, other := range limits[:i] {
			if other.Name() == l.Name() {
				return fmt.Errorf("two limits are named %q", l.Name())
			}
		}
	}
	return nil
}

// fingerprint hashes what limits allow.
func fingerprint(limits []Limit) uint64 {
	h := fnv.New64a()
	for _, l := range limits {
		fmt.Fprintf(h, "%+v;", l)
	}
	return h.Sum64()
}

// Fingerprint identifies what the policy allows, so that an answer remembered
// under one policy is not used under another; policies of two configurations
// that allow the same have the same. OnStoreFailure does not matter.
func (p *Policy) Fingerprint() uint64 { return p.fingerprint }

// Names tells whether any limit is at the level.
func (p *Policy) Names(level Level) bool { return p.levels[level] }

// NamesSlots tells whether a limit at the level is a Concurrent one.
func (p *Policy) NamesSlots(level Level) bool { return p.slots[level] }

// HasSlots tells whether any limit is a Concurrent one: an admitted request then
// has a Slot.
func (p *Policy) HasSlots() bool { return p.slots != [2]bool{} }

// Violated returns the names of the limits that refused the request, for the
// violated-policies member of a problem document.
func (p *Policy) Violated(d Decision) []string {
	var names []string
	for i := range min(d.Len, len(p.Limits)) {
		if d.States[i].Violated {
			names = append(names, p.Limits[i].Name())
		}
	}
	return names
}
