package registry

import (
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// apply makes the snapshot that the changes lead to. It reports false if they do
// not add up: if there is a fault or a contradiction in them, which only all the
// records can settle, or if the source holds another number of tenants or hosts
// than come of it.
func (p *parser) apply(prev *Snapshot, changes Changes, at time.Time) (*Snapshot, change, bool) {
	var c change
	if prev.faults > 0 {
		return nil, c, false
	}
	entries, ok := p.parseChanges(prev, changes.Records)
	if !ok {
		return nil, c, false
	}
	slugs, hosts := prev.slugs.edit(), prev.hosts.edit()
	for _, name := range changes.Removed {
		slug, err := tenant.ParseSlug(name)
		if err != nil {
			continue // it never was one
		}
		if known := prev.BySlug(slug); known != nil && slugs.get(name) != nil {
			drop(slugs, hosts, known)
			c.removed = append(c.removed, slug)
		}
	}
	for _, e := range entries {
		if e.known != nil {
			drop(slugs, hosts, e.known)
		}
	}
	for _, e := range entries {
		if slugs.get(e.t.Slug.String()) != nil || !putNew(slugs, hosts, e.t) {
			return nil, c, false
		}
		if e.known != nil {
			c.changed = append(c.changed, e.t.Slug)
		} else {
			c.added = append(c.added, e.t.Slug)
		}
	}
	if changes.Tenants >= 0 && changes.Tenants != slugs.live || changes.Hosts >= 0 && changes.Hosts != hosts.live {
		return nil, c, false
	}
	if c.size() == 0 {
		return prev, c, true
	}
	if !uniqueIDs(&slugs.table, entries) {
		return nil, c, false
	}
	return newSnapshot(slugs.done(), hosts.done(), &problems{}, at), c, true
}

// parseChanges returns those of the records that are not as they were.
func (p *parser) parseChanges(prev *Snapshot, records []Record) ([]entry, bool) {
	report := &problems{}
	var entries []entry
	for i := range records {
		e := p.parse(&records[i], prev.BySlug, report)
		if report.count > 0 {
			return nil, false
		}
		if e.t != e.known {
			entries = append(entries, e)
		}
	}
	return entries, true
}

// putNew reports false if another tenant has one of the hosts.
func putNew(slugs, hosts *edit, t *tenant.Tenant) bool {
	slugs.put(t.Slug.String(), t)
	for _, h := range t.Hosts {
		if hosts.get(h) != nil {
			return false
		}
		hosts.put(h, t)
	}
	return true
}

// uniqueIDs reports whether no two tenants of the table have one id, given those
// that have changed. No index of ids is kept, since nobody looks tenants up by id:
// to go through all of them takes 30 ns each, and only when there is a new id.
func uniqueIDs(slugs *table, changed []entry) bool {
	fresh := map[string]int{}
	for _, e := range changed {
		if e.known == nil || e.known.ID != e.t.ID {
			fresh[e.t.ID] = 0
		}
	}
	if len(fresh) == 0 {
		return true
	}
	for t := range slugs.all() {
		if n, ok := fresh[t.ID]; ok {
			if n > 0 {
				return false
			}
			fresh[t.ID] = 1
		}
	}
	return true
}
