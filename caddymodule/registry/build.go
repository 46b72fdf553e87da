package registry

import (
	"fmt"
	"slices"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// change is what a snapshot has that the one before had not.
type change struct {
	added, changed, removed []tenant.Slug
}

func (c *change) size() int { return len(c.added) + len(c.changed) + len(c.removed) }

// refuses reports whether next refuses a request that prev let in.
func refuses(prev, next *Snapshot, c change) bool {
	return len(c.removed) > 0 || slices.ContainsFunc(c.changed, func(slug tenant.Slug) bool {
		was, is := prev.BySlug(slug), next.BySlug(slug)
		switch {
		case was == nil || was.Status != tenant.Active:
			return false
		case is == nil || is.Status != tenant.Active || is.Issuer != was.Issuer || is.JWKS != was.JWKS:
			return true
		}
		return slices.ContainsFunc(was.Hosts, func(host string) bool { return !slices.Contains(is.Hosts, host) })
	})
}

// build makes the snapshot of all records. What is as it was in prev is taken
// from there, down to the pages of its tables.
func (p *parser) build(prev *Snapshot, records []Record, at time.Time) (*Snapshot, change) {
	report := &problems{}
	entries := make([]entry, 0, len(records))
	for i := range records {
		if e := p.parse(&records[i], prev.BySlug, report); e.t != nil {
			entries = append(entries, e)
		}
	}
	entries = settle(entries, report)
	for i := range entries {
		e := &entries[i]
		// Parsed anew because of a host that it could not keep, like last time.
		if e.known != nil && e.known != e.t && equal(e.known, e.t) {
			e.t = e.known
		}
	}

	c := compare(prev, entries)
	if c.size() == 0 && prev.faults == report.count && slices.EqualFunc(prev.problems, report.kept, sameProblem) && !prev.loadedAt.IsZero() {
		return prev, c
	}
	slugs, hosts := tables(prev, entries, &c)
	return newSnapshot(slugs, hosts, report, at), c
}

// compare finds what has changed since prev.
func compare(prev *Snapshot, entries []entry) (c change) {
	met := 0
	for _, e := range entries {
		if e.known != nil {
			met++
		}
		switch {
		case e.known == nil && e.served:
			c.added = append(c.added, e.t.Slug)
		case e.known != nil && !e.served:
			c.removed = append(c.removed, e.t.Slug)
		case e.known != nil && e.known != e.t:
			c.changed = append(c.changed, e.t.Slug)
		}
	}
	if met == prev.Len() {
		return c
	}
	left := make(map[tenant.Slug]struct{}, met)
	for _, e := range entries {
		if e.known != nil {
			left[e.t.Slug] = struct{}{}
		}
	}
	for t := range prev.slugs.all() {
		if _, ok := left[t.Slug]; !ok {
			c.removed = append(c.removed, t.Slug)
		}
	}
	return c
}

func sameProblem(a, b Problem) bool { return a.String() == b.String() && a.Skipped == b.Skipped }

// entry is a record on its way into a snapshot.
type entry struct {
	t      *tenant.Tenant
	known  *tenant.Tenant // of that slug, in the snapshot before
	r      *Record
	served bool
}

// settle decides who keeps a name that several records claim: the older one. It
// returns the records that are left.
func settle(entries []entry, report *problems) []entry {
	if !contested(entries) {
		return entries
	}
	slugs, ids, hosts := claim{}, claim{}, claim{}
	slices.SortStableFunc(entries, func(a, b entry) int { return older(a.r, b.r) })
	entries = slices.DeleteFunc(entries, func(e entry) bool { return !keep(e, slugs, ids, report) })
	for i := range entries {
		entries[i].t = keepHosts(entries[i], hosts, report)
	}
	return entries
}

// claim has the records by a name that they have.
type claim map[string]*Record

// take gives the name to the record unless another one has it, which it returns.
func (c claim) take(name string, r *Record) *Record {
	if owner, ok := c[name]; ok {
		return owner
	}
	c[name] = r
	return nil
}

// keep reports whether the record is the first one with its slug and id.
func keep(e entry, slugs, ids claim, report *problems) bool {
	if owner := slugs[e.t.Slug.String()]; owner != nil {
		report.add(e.r.problem(fmt.Errorf("the slug is taken by the older record in %s", owner.position()), true))
		return false
	}
	if owner := ids.take(e.t.ID, e.r); owner != nil {
		report.add(e.r.problem(fmt.Errorf("the id %q is taken by the older record in %s, slug %q", e.t.ID, owner.position(), clip(owner.Slug)), true))
		return false
	}
	slugs.take(e.t.Slug.String(), e.r)
	return true
}

// keepHosts returns the tenant with those of its hosts that no older one has.
func keepHosts(e entry, hosts claim, report *problems) *tenant.Tenant {
	kept := make([]string, 0, len(e.t.Hosts))
	for _, h := range e.t.Hosts {
		if owner := hosts.take(h, e.r); owner != nil {
			report.add(e.r.problem(fmt.Errorf("the host %q is taken by the older record in %s, slug %q", h, owner.position(), clip(owner.Slug)), false))
			continue
		}
		kept = append(kept, h)
	}
	if len(kept) == len(e.t.Hosts) {
		return e.t
	}
	t := *e.t // it may be in use in the snapshot before
	t.Hosts = slices.Clip(kept)
	return &t
}

func ownsSlug(t *tenant.Tenant, name string) bool { return t.Slug.String() == name }
func ownsHost(t *tenant.Tenant, name string) bool { return slices.Contains(t.Hosts, name) }

// tables makes the two indexes: by editing those of prev if little has changed,
// else from nothing, which is faster then.
func tables(prev *Snapshot, entries []entry, c *change) (slugs, hosts *table) {
	if c.size()*8 > len(entries) || prev.slugs.owns == nil {
		s, h := newEdit(len(entries), ownsSlug), newEdit(countHosts(entries), ownsHost)
		for _, e := range entries {
			if !e.served {
				continue
			}
			s.put(e.t.Slug.String(), e.t)
			for _, host := range e.t.Hosts {
				h.put(host, e.t)
			}
		}
		return s.done(), h.done()
	}
	if c.size() == 0 {
		return prev.slugs, prev.hosts
	}
	s, h := prev.slugs.edit(), prev.hosts.edit()
	for _, slug := range c.removed {
		drop(s, h, prev.BySlug(slug))
	}
	for _, slug := range c.changed {
		drop(s, h, prev.BySlug(slug))
	}
	for _, e := range entries {
		if e.served && e.known != e.t {
			s.put(e.t.Slug.String(), e.t)
			for _, host := range e.t.Hosts {
				h.put(host, e.t)
			}
		}
	}
	return s.done(), h.done()
}

func drop(slugs, hosts *edit, t *tenant.Tenant) {
	slugs.remove(t.Slug.String(), t)
	for _, host := range t.Hosts {
		hosts.remove(host, t)
	}
}

func countHosts(entries []entry) int {
	n := 0
	for _, e := range entries {
		n += len(e.t.Hosts)
	}
	return n
}
