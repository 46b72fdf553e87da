package registry

import (
	"slices"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// mend decides what becomes of a tenant whose record has faults; last is what it
// was in the snapshot before, nil if it was not. It returns nil if there is nothing
// to go on with, and which of the faults are worth a word.
//
//   - Without an id, a status or the record as a whole, the tenant stays as it was.
//   - Without limits, plan, name or list of hosts, it keeps those that it had.
//   - With wrong issuers or upstreams it is served to nobody: the old ones may be
//     the ones that were to be got rid of.
//   - What else is wrong costs it nothing.
func mend(r *Record, t, last *tenant.Tenant, faults []Fault) (*tenant.Tenant, []Fault) {
	for _, f := range faults {
		switch f.Field {
		case "", "slug", "id", "status":
			if last == nil {
				return nil, []Fault{f}
			}
			return asLast(r, last), []Fault{f}
		}
	}
	was := &tenant.Tenant{Plan: UnreadablePlan}
	if last != nil {
		was = last
	}
	for _, f := range faults {
		switch f.Field {
		case "plan":
			t.Plan = was.Plan
		case "limits":
			t.Limits = was.Limits
		case "name":
			t.Name = was.Name
		case "hosts":
			t.Hosts = was.Hosts
		case "issuer", "jwks", "upstreams":
			if t.Fault == "" {
				t.Fault = f.Err.Error()
			}
		}
	}
	return t, faults
}

// asLast is the tenant as it was, but in the record's status if that can be read.
func asLast(r *Record, last *tenant.Tenant) *tenant.Tenant {
	status, err := tenant.ParseStatus(r.Status)
	if err != nil || status == last.Status {
		return last
	}
	t := *last
	t.Status = status
	return &t
}

func equal(a, b *tenant.Tenant) bool {
	return a.ID == b.ID && a.Slug == b.Slug && a.Name == b.Name && a.Plan == b.Plan &&
		a.Status == b.Status && a.Limits == b.Limits && slices.Equal(a.Hosts, b.Hosts) && slices.Equal(a.Upstreams, b.Upstreams) &&
		a.Issuer == b.Issuer && a.JWKS == b.JWKS && a.Fault == b.Fault
}
