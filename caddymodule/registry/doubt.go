package registry

import (
	"fmt"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// mostDropped is the share of the active tenants that faults may take away at
// once: one in twenty. One tenant may always go, or short lists could have no fault.
const mostDropped = 20

// doubtEmpty refuses an empty list that comes after one which held tenants, unless
// the source says that it is meant. The last tenant of a list may be removed.
func doubtEmpty(source Source, prev *Snapshot, records []Record) error {
	if len(records) > 0 || prev.Len() <= 1 {
		return nil
	}
	if s, ok := source.(EmptyMeant); ok && s.EmptyIsMeant() {
		return nil
	}
	return fmt.Errorf("reading tenants from %s: expected some of the %d tenants that there were, or an explicitly empty list, found none", source, prev.Len())
}

// doubtFaults refuses a list in which faults, not removals, cost too many active
// tenants: then the list is more likely wrong than the tenants are.
func doubtFaults(source Source, prev, next *Snapshot, c change) error {
	// Whose record it was that cannot be read any more is not known: as many as are
	// newly skipped may have gone because of that.
	skipped := max(0, next.problems.skipped-prev.problems.skipped)
	dropped := c.closed + min(c.gone, skipped)
	if dropped <= 1 {
		return nil
	}
	active := 0
	for _, t := range prev.slugs {
		if tenant.Check(t) == nil {
			active++
		}
	}
	if dropped*mostDropped <= active {
		return nil
	}
	return fmt.Errorf("reading tenants from %s: faults would drop %d of %d active tenants: expected at most one in %d; the first: %s",
		source, dropped, active, mostDropped, next.problems.listed[0])
}
