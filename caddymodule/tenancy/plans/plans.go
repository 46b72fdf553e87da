// Package plans compiles what the plans of a configuration allow, and says which
// limits are in force for a tenant.
package plans

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Config is what one plan allows.
type Config struct {
	// The limits as in `100/1h`, at most eight; the first one is the one of the
	// X-RateLimit headers. A limit counts per tenant and client; with `tenant:`
	// in front of it, over all clients of the tenant together.
	Limits []string `json:"limits"`

	// What happens to a request when the limiter's store does not answer in
	// time: `local_share` (default) counts in this process against this
	// gateway's share, `deny` answers 503, `open` lets it pass.
	OnStoreFailure string `json:"on_store_failure,omitempty"`
}

// Set is the compiled plans of one configuration. It is safe for concurrent
// use.
type Set struct {
	byName   map[tenant.Plan]*limit.Policy
	fallback tenant.Plan
	own      *sync.Map // limitsKey -> *limit.Policy, for tenants with limits of their own
}

type limitsKey struct {
	plan   tenant.Plan
	limits string
}

// New compiles the plans; fallback is the plan of tenants whose record names none.
func New(configs map[string]Config, fallback string) (Set, error) {
	p := Set{byName: make(map[tenant.Plan]*limit.Policy, len(configs)), own: new(sync.Map)}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		plan, err := tenant.ParsePlan(name)
		if err != nil {
			return Set{}, fmt.Errorf("tenancy: %w", err)
		}
		policy, err := configs[name].compile()
		if err != nil {
			return Set{}, fmt.Errorf("tenancy: plan %q: %w", name, err)
		}
		p.byName[plan] = policy
	}
	if fallback != "" {
		p.fallback = tenant.Plan(fallback)
		if p.byName[p.fallback] == nil {
			return Set{}, fmt.Errorf("tenancy: default_plan %q is not among the plans %q", fallback, slices.Sorted(maps.Keys(configs)))
		}
	}
	return p, nil
}

func (c Config) compile() (*limit.Policy, error) {
	failure := limit.LocalShare
	if c.OnStoreFailure != "" {
		var err error
		if failure, err = limit.ParseFailurePolicy(c.OnStoreFailure); err != nil {
			return nil, err
		}
	}
	limits := make([]limit.Limit, 0, len(c.Limits))
	for _, text := range c.Limits {
		l, err := limit.ParseOne(text)
		if err != nil {
			return nil, err
		}
		limits = append(limits, l)
	}
	return limit.NewPolicy(limits, failure)
}

// Of returns the policy for a tenant: its plan's, or the plan's with the
// tenant's own limits.
func (p Set) Of(t *tenant.Tenant) (*limit.Policy, error) {
	plan := p.Name(t)
	policy := p.byName[plan]
	if policy == nil {
		return nil, fmt.Errorf("plan %q is not configured", plan)
	}
	if t.Limits == "" {
		return policy, nil
	}
	key := limitsKey{plan, t.Limits}
	if own, ok := p.own.Load(key); ok {
		return own.(*limit.Policy), nil
	}
	limits, err := limit.Parse(t.Limits)
	if err != nil {
		return nil, fmt.Errorf("limits of tenant %q: %w", t.Slug, err)
	}
	own, err := limit.NewPolicy(limits, policy.OnStoreFailure)
	if err != nil {
		return nil, fmt.Errorf("limits of tenant %q: %w", t.Slug, err)
	}
	p.own.Store(key, own)
	return own, nil
}

// Fallback is the plan of tenants whose record names none; empty if there is none.
func (p Set) Fallback() tenant.Plan { return p.fallback }

// Empty reports whether there is no plan at all: then limits are not used.
func (p Set) Empty() bool { return len(p.byName) == 0 }

// Name is the tenant's plan, or the fallback if its record names none.
func (p Set) Name(t *tenant.Tenant) tenant.Plan {
	if t.Plan == "" {
		return p.fallback
	}
	return t.Plan
}

// Missing counts active tenants by plans that are not configured.
func (p Set) Missing(s *registry.Snapshot) map[tenant.Plan]int {
	if len(p.byName) == 0 {
		return nil // limits are not used at all
	}
	counts := make(map[tenant.Plan]int)
	for t := range s.All() {
		if plan := p.Name(t); t.Status == tenant.Active && p.byName[plan] == nil {
			counts[plan]++
		}
	}
	return counts
}
