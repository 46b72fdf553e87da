package registry

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Snapshot is all tenants at one moment. It is never changed, so that it is safe
// for concurrent use and two lookups in it agree. A tenant that is the same in
// two snapshots is the same pointer in both.
type Snapshot struct {
	slugs      map[tenant.Slug]*tenant.Tenant
	hosts, ids map[string]*tenant.Tenant

	loadedAt time.Time
	problems *problems

	sorted func() []*tenant.Tenant
}

func newSnapshot(n int, problems *problems, at time.Time) *Snapshot {
	s := &Snapshot{
		slugs: make(map[tenant.Slug]*tenant.Tenant, n), ids: make(map[string]*tenant.Tenant, n), hosts: map[string]*tenant.Tenant{},
		loadedAt: at, problems: problems,
	}
	s.sorted = sync.OnceValue(func() []*tenant.Tenant {
		return slices.SortedFunc(maps.Values(s.slugs), func(a, b *tenant.Tenant) int { return strings.Compare(a.Slug.String(), b.Slug.String()) })
	})
	return s
}

func emptySnapshot() *Snapshot { return newSnapshot(0, &problems{}, time.Time{}) }

// add is for a snapshot that nobody else has yet.
func (s *Snapshot) add(t *tenant.Tenant) {
	s.slugs[t.Slug], s.ids[t.ID] = t, t
	for _, host := range t.Hosts {
		s.hosts[host] = t
	}
}

// BySlug implements [tenant.Lookup] without allocation.
func (s *Snapshot) BySlug(slug tenant.Slug) *tenant.Tenant { return s.slugs[slug] }

// ByHost implements [tenant.Lookup] without allocation.
func (s *Snapshot) ByHost(host string) *tenant.Tenant { return s.hosts[host] }

// Len returns the number of tenants, in whatever status.
func (s *Snapshot) Len() int { return len(s.slugs) }

// Hosts returns the number of the tenants' own domains.
func (s *Snapshot) Hosts() int { return len(s.hosts) }

// All returns the tenants in the order of their slugs. The first call in a
// snapshot sorts them; it is for people, not for requests.
func (s *Snapshot) All() iter.Seq[*tenant.Tenant] { return slices.Values(s.sorted()) }

// LoadedAt returns when the snapshot was read, the zero time before the first
// successful load. It stays as it is while the source has nothing new.
func (s *Snapshot) LoadedAt() time.Time { return s.loadedAt }

// Problems returns the faults found in the records, the first [MaxProblems] of
// them. The slice is shared and must not be changed.
func (s *Snapshot) Problems() []Problem { return s.problems.listed }

// ProblemCount returns how many faults there are.
func (s *Snapshot) ProblemCount() int { return s.problems.count }

var _ tenant.Lookup = (*Snapshot)(nil)
