package registry

import (
	"iter"
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
	slugs, hosts *table
	loadedAt     time.Time
	problems     []Problem
	faults       int

	sorted func() []*tenant.Tenant
}

func newSnapshot(slugs, hosts *table, problems *problems, at time.Time) *Snapshot {
	s := &Snapshot{slugs: slugs, hosts: hosts, loadedAt: at, problems: problems.kept, faults: problems.count}
	s.sorted = sync.OnceValue(s.sort)
	return s
}

func emptySnapshot() *Snapshot {
	return newSnapshot(&table{}, &table{}, &problems{}, time.Time{})
}

// BySlug implements [tenant.Lookup] without allocation.
func (s *Snapshot) BySlug(slug tenant.Slug) *tenant.Tenant { return s.slugs.get(slug.String()) }

// ByHost implements [tenant.Lookup] without allocation.
func (s *Snapshot) ByHost(host string) *tenant.Tenant { return s.hosts.get(host) }

// Len returns the number of tenants, in whatever status.
func (s *Snapshot) Len() int { return s.slugs.live }

// Hosts returns the number of the tenants' own domains.
func (s *Snapshot) Hosts() int { return s.hosts.live }

// All returns the tenants in the order of their slugs. The first call in a
// snapshot sorts them; it is for people, not for requests.
func (s *Snapshot) All() iter.Seq[*tenant.Tenant] {
	return func(yield func(*tenant.Tenant) bool) {
		for _, t := range s.sorted() {
			if !yield(t) {
				return
			}
		}
	}
}

func (s *Snapshot) sort() []*tenant.Tenant {
	all := make([]*tenant.Tenant, 0, s.Len())
	for t := range s.slugs.all() {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *tenant.Tenant) int { return strings.Compare(a.Slug.String(), b.Slug.String()) })
	return all
}

// LoadedAt returns when the snapshot was read, the zero time before the first
// successful load. It stays as it is while the source has nothing new.
func (s *Snapshot) LoadedAt() time.Time { return s.loadedAt }

// Problems returns the faults found in the records, the first [MaxProblems] of
// them. The slice is shared and must not be changed.
func (s *Snapshot) Problems() []Problem { return s.problems }

// ProblemCount returns how many faults there are.
func (s *Snapshot) ProblemCount() int { return s.faults }

// MaxProblems is how many problems a snapshot keeps in words; more of them are
// counted.
const MaxProblems = 100

// problems collects faults.
type problems struct {
	kept  []Problem
	count int
}

func (p *problems) add(problem Problem) {
	if p.count++; len(p.kept) < MaxProblems {
		p.kept = append(p.kept, problem)
	}
}

var _ tenant.Lookup = (*Snapshot)(nil)
