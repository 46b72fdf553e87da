package caddymodule

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// PlanConfig is what one plan allows.
type PlanConfig struct {
	// The limits as in `100/1h`, at most eight; the first one is the one of the
	// X-RateLimit headers. A limit counts per tenant and client; with `tenant:`
	// in front of it, over all clients of the tenant together.
	Limits []string `json:"limits"`

	// What happens to a request when the limiter's store does not answer in
	// time: `local_share` (default) counts in this process against this
	// gateway's share, `deny` answers 503, `open` lets it pass.
	OnStoreFailure string `json:"on_store_failure,omitempty"`
}

// plans are the compiled plans of one configuration. It is safe for concurrent
// use.
type plans struct {
	byName   map[tenant.Plan]*ratelimit.Policy
	fallback tenant.Plan
	own      *sync.Map // limitsKey -> *ratelimit.Policy, for tenants with limits of their own
}

type limitsKey struct {
	plan   tenant.Plan
	limits string
}

func newPlans(configs map[string]PlanConfig, fallback string) (plans, error) {
	p := plans{byName: make(map[tenant.Plan]*ratelimit.Policy, len(configs)), own: new(sync.Map)}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		plan, err := tenant.ParsePlan(name)
		if err != nil {
			return plans{}, fmt.Errorf("tenancy: %w", err)
		}
		policy, err := configs[name].compile()
		if err != nil {
			return plans{}, fmt.Errorf("tenancy: plan %q: %w", name, err)
		}
		p.byName[plan] = policy
	}
	if fallback != "" {
		p.fallback = tenant.Plan(fallback)
		if p.byName[p.fallback] == nil {
			return plans{}, fmt.Errorf("tenancy: default_plan %q is not among the plans %q", fallback, slices.Sorted(maps.Keys(configs)))
		}
	}
	return p, nil
}

func (c PlanConfig) compile() (*ratelimit.Policy, error) {
	failure := ratelimit.LocalShare
	if c.OnStoreFailure != "" {
		var err error
		if failure, err = ratelimit.ParseFailurePolicy(c.OnStoreFailure); err != nil {
			return nil, err
		}
	}
	limits := make([]ratelimit.Limit, 0, len(c.Limits))
	for _, text := range c.Limits {
		limit, err := ratelimit.ParseLimit(text)
		if err != nil {
			return nil, err
		}
		limits = append(limits, limit)
	}
	return ratelimit.NewPolicy(limits, failure)
}

// of returns the policy for a tenant: its plan's, or the plan's with the
// tenant's own limits.
func (p plans) of(t *tenant.Tenant) (*ratelimit.Policy, error) {
	plan := p.name(t)
	policy := p.byName[plan]
	if policy == nil {
		return nil, fmt.Errorf("plan %q is not configured", plan)
	}
	if t.Limits == "" {
		return policy, nil
	}
	key := limitsKey{plan, t.Limits}
	if own, ok := p.own.Load(key); ok {
		return own.(*ratelimit.Policy), nil
	}
	limits, err := ratelimit.ParseLimits(t.Limits)
	if err != nil {
		return nil, fmt.Errorf("limits of tenant %q: %w", t.Slug, err)
	}
	own, err := ratelimit.NewPolicy(limits, policy.OnStoreFailure)
	if err != nil {
		return nil, fmt.Errorf("limits of tenant %q: %w", t.Slug, err)
	}
	p.own.Store(key, own)
	return own, nil
}

// name is the tenant's plan, or the fallback if its record names none.
func (p plans) name(t *tenant.Tenant) tenant.Plan {
	if t.Plan == "" {
		return p.fallback
	}
	return t.Plan
}

// missing counts active tenants by plans that are not configured.
func (p plans) missing(s *registry.Snapshot) map[tenant.Plan]int {
	if len(p.byName) == 0 {
		return nil // limits are not used at all
	}
	counts := make(map[tenant.Plan]int)
	for t := range s.All() {
		if plan := p.name(t); t.Status == tenant.Active && p.byName[plan] == nil {
			counts[plan]++
		}
	}
	return counts
}
