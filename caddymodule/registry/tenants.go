package registry

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// tenantReader makes snapshots of what a source has.
type tenantReader struct {
	source Source
	check  func(*tenant.Tenant) []Fault
	now    func() time.Time
	// doubt is why the records that were read last were not believed. Until there are
	// others, a source that has nothing new does not make them better.
	doubt error
}

func (r *tenantReader) on(prev *Snapshot) *builder {
	if prev == nil {
		prev = none
	}
	return &builder{check: r.check, prev: prev}
}

func (r *tenantReader) load(ctx context.Context, prev *Snapshot) (got reading[Snapshot], err error) {
	b := r.on(prev)
	begin := time.Now()
	records, err := r.source.Load(ctx)
	if errors.Is(err, ErrUnchanged) && r.doubt != nil {
		err = r.doubt
	}
	if err != nil {
		return got, err
	}
	if r.doubt = doubtEmpty(r.source, b.prev, records); r.doubt != nil {
		return got, r.doubt
	}
	next, c := b.build(records, r.now())
	work := time.Since(begin)
	if s, ok := r.source.(Waiting); ok {
		work = max(work-s.Waited(), 0)
	}
	if r.doubt = doubtFaults(r.source, b.prev, next, c); r.doubt == nil {
		got = news(next, c)
	}
	got.work = work
	return got, r.doubt
}

func news(next *Snapshot, c change) reading[Snapshot] {
	return reading[Snapshot]{value: next, urgent: c.refuses, news: func(first, restored bool) Event {
		return Loaded{First: first, Restored: restored, Snapshot: next, Added: c.added, Changed: c.changed, Removed: c.removed}
	}}
}

// savedTenant is what is saved of a tenant.
type savedTenant struct {
	ID, Slug, Name, Plan, Status, Limits, Issuer, JWKS, Fault string
	Hosts, Upstreams                                          []string
}

func (r *tenantReader) save(s *Snapshot) any {
	saved := make([]savedTenant, 0, s.Len())
	for _, t := range s.slugs {
		saved = append(saved, savedTenant{
			ID: t.ID, Slug: t.Slug.String(), Name: t.Name, Plan: string(t.Plan), Status: t.Status.String(), Limits: t.Limits,
			Issuer: t.Issuer, JWKS: t.JWKS, Fault: t.Fault, Hosts: t.Hosts, Upstreams: t.Upstreams,
		})
	}
	return saved
}

// restore checks what was saved like any records: the rules may be others now. A
// tenant that was closed for a fault is so again.
func (r *tenantReader) restore(decode func(any) error, goodAt time.Time) (got reading[Snapshot], err error) {
	var saved []savedTenant
	if err := decode(&saved); err != nil {
		return got, err
	}
	records := make([]Record, len(saved))
	for i, t := range saved {
		records[i] = Record{
			ID: t.ID, Slug: t.Slug, Name: t.Name, Plan: t.Plan, Status: t.Status, Limits: t.Limits,
			Issuer: t.Issuer, JWKS: t.JWKS, Hosts: t.Hosts, Upstreams: t.Upstreams,
		}
		if t.Fault != "" {
			records[i].Fail("issuer", errors.New(t.Fault))
		}
	}
	return news(r.on(nil).build(records, goodAt)), nil
}
