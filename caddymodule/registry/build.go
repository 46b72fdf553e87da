package registry

import (
	"slices"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// builder makes a snapshot of records, on top of the one in force.
type builder struct {
	check func(*tenant.Tenant) []Fault // nil for none
	prev  *Snapshot
	found problems
}

// entry is a record on its way into a snapshot.
type entry struct {
	r      *Record
	t      *tenant.Tenant // nil if nothing is known but that there is a fault
	last   *tenant.Tenant // of that slug, in the snapshot before
	served bool           // a record that is not keeps its names all the same
}

// build makes the snapshot of all records. A tenant that is as it was in the one
// before is taken from there, and the whole of it if all are.
func (b *builder) build(records []Record, at time.Time) (*Snapshot, change) {
	entries := make([]entry, 0, len(records))
	for i := range records {
		if r := &records[i]; r.Row == 0 && r.Line == 0 {
			r.Row = i + 1
		}
		if e := b.read(&records[i]); e.t != nil {
			entries = append(entries, e)
		}
	}
	next := newSnapshot(len(entries), &b.found, at)
	for _, e := range b.settle(entries) {
		// Made anew because of a fault that it had last time as well.
		if e.last != nil && e.last != e.t && equal(e.last, e.t) {
			e.t = e.last
		}
		if e.served {
			next.add(e.t)
		}
	}
	c := compare(b.prev, next)
	if c.size() == 0 && b.found.same(b.prev.problems) && !b.prev.loadedAt.IsZero() {
		return b.prev, c
	}
	return next, c
}

// read makes a tenant of the record. If it is the one of the snapshot before, that
// one is returned, which has been checked before.
func (b *builder) read(r *Record) entry {
	slug, err := tenant.ParseSlug(r.Slug)
	if err != nil {
		if len(r.Faults) > 0 {
			err = r.Faults[0].Err
		}
		last := b.prev.ids[r.ID]
		b.found.add(r, err, last == nil)
		if last == nil {
			return entry{}
		}
		return entry{r: r, t: asLast(r, last), last: last, served: true}
	}
	e := entry{r: r, last: b.prev.BySlug(slug), served: true}
	if e.last != nil && says(r, e.last) {
		e.t = e.last // most are: to read each of them would be most of the work
		return e
	}
	parsed, faults := parse(r, slug)
	if e.last != nil && len(faults) == 0 && equal(e.last, parsed) {
		e.t = e.last
		return e
	}
	if b.check != nil {
		faults = append(faults, b.check(parsed)...)
	}
	e.t, faults = mend(r, parsed, e.last, faults)
	if e.t == nil {
		e.t, e.served = parsed, false
	}
	for _, f := range faults {
		b.found.add(r, f.Err, !e.served)
	}
	return e
}

// says reports whether the record says of the tenant what is known of it, letter for
// letter.
func says(r *Record, t *tenant.Tenant) bool {
	return r.ID == t.ID && r.Name == t.Name && r.Plan == string(t.Plan) && r.Status == t.Status.String() && r.Limits == t.Limits &&
		r.Issuer == t.Issuer && r.JWKS == t.JWKS && slices.Equal(r.Hosts, t.Hosts) && slices.Equal(r.Upstreams, t.Upstreams) &&
		len(r.Faults) == 0 && t.Fault == "" && t.Plan != UnreadablePlan
}

// change is what a snapshot has that the one before had not.
type change struct {
	added, changed, removed int
	// gone and closed are those of the tenants that were active before which are
	// there no more, or with a Fault.
	gone, closed int
	// refuses says that a request is refused which was let in before.
	refuses bool
}

func (c *change) size() int { return c.added + c.changed + c.removed }

func compare(prev, next *Snapshot) (c change) {
	for slug, was := range prev.slugs {
		is := next.slugs[slug]
		switch is {
		case was:
			continue
		case nil:
			c.removed++
		default:
			c.changed++
		}
		if tenant.Check(was) != nil {
			continue
		}
		c.refuses = c.refuses || refuses(was, is)
		if is == nil {
			c.gone++
		} else if is.Fault != "" {
			c.closed++
		}
	}
	c.added = next.Len() - prev.Len() + c.removed
	return c
}

// refuses reports whether an active tenant has lost what let requests in.
func refuses(was, is *tenant.Tenant) bool {
	return is == nil || tenant.Check(is) != nil || is.Issuer != was.Issuer || is.JWKS != was.JWKS ||
		slices.ContainsFunc(was.Hosts, func(host string) bool { return !slices.Contains(is.Hosts, host) })
}
