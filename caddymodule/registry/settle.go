package registry

import (
	"fmt"
	"slices"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// claim has the records by a name that they have.
type claim map[string]*Record

// take gives the name to the record unless another one has it, which it returns.
func (c claim) take(name string, r *Record) (owner *Record) {
	if owner, ok := c[name]; ok {
		return owner
	}
	c[name] = r
	return nil
}

// claims are the names that no two tenants may have.
type claims struct{ slugs, ids, hosts, issuers claim }

// settle decides who keeps a name that several records claim: the older one. It
// returns the records that are left.
func (b *builder) settle(entries []entry) []entry {
	byAge := func(a, b entry) int { return older(a.r, b.r) }
	if !slices.IsSortedFunc(entries, byAge) {
		slices.SortStableFunc(entries, byAge)
	}
	c := claims{make(claim, len(entries)), make(claim, len(entries)), claim{}, claim{}}
	left := entries[:0]
	for _, e := range entries {
		if b.settleNames(&c, &e) {
			b.settleHosts(&c, &e)
			left = append(left, e)
		}
	}
	for i := range left {
		b.settleIssuer(&c, &left[i])
	}
	return left
}

// settleNames reports false if the record is left out, because an older one has
// its slug or its id. A tenant whose id was mistyped keeps the one it had.
func (b *builder) settleNames(c *claims, e *entry) bool {
	slug := e.t.Slug.String()
	if owner := c.slugs[slug]; owner != nil {
		b.found.add(e.r, fmt.Errorf("the slug is taken by the older record in %s", owner.position()), true)
		return false
	}
	if owner := c.ids[e.t.ID]; owner != nil {
		keeps := e.last != nil && c.ids[e.last.ID] == nil
		b.found.add(e.r, fmt.Errorf("the id %q is taken by the older record in %s, slug %q", e.t.ID, owner.position(), Clip(owner.Slug)), !keeps)
		if !keeps {
			return false
		}
		e.t = asLast(e.r, e.last)
	}
	c.slugs[slug], c.ids[e.t.ID] = e.r, e.r
	return true
}

// settleHosts leaves the tenant those of its hosts that no older one has.
func (b *builder) settleHosts(c *claims, e *entry) {
	kept := make([]string, 0, len(e.t.Hosts))
	for _, h := range e.t.Hosts {
		if owner := c.hosts.take(h, e.r); owner != nil {
			b.found.add(e.r, fmt.Errorf("the host %q is taken by the older record in %s, slug %q", h, owner.position(), Clip(owner.Slug)), false)
			continue
		}
		kept = append(kept, h)
	}
	if len(kept) < len(e.t.Hosts) {
		t := *e.t // it may be in use in the snapshot before
		t.Hosts = slices.Clip(kept)
		e.t = &t
	}
}

// claimsIssuer reports whether nobody else may have the tenant's issuer. One that is
// served to nobody, or is gone for good, has no claim.
func claimsIssuer(t *tenant.Tenant) bool {
	return t.Issuer != "" && t.Fault == "" && t.Status != tenant.Purged
}

// settleIssuer closes a tenant whose issuer is an older one's: one token would open
// both.
func (b *builder) settleIssuer(c *claims, e *entry) {
	if !claimsIssuer(e.t) {
		return
	}
	if owner := c.issuers.take(e.t.Issuer, e.r); owner != nil {
		err := fmt.Errorf("the issuer %q is that of the older record in %s, slug %q", Clip(e.t.Issuer), owner.position(), Clip(owner.Slug))
		b.found.add(e.r, err, false)
		t := *e.t
		t.Fault = err.Error()
		e.t = &t
	}
}
