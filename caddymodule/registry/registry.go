package registry

import (
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Options are those of a [Registry].
type Options = FeedOptions[Source, func(*tenant.Tenant) []Fault, Snapshot]

// Registry keeps the current [Snapshot] of a source of tenants: see [Feed].
type Registry struct{ *Feed[Snapshot] }

// Open starts a goroutine that reads the source at once and then keeps the
// snapshot up to date until Close. It neither waits for the first load nor fails
// if there is none: use [Feed.WaitFirst].
func Open(o Options) *Registry {
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &tenantReader{source: o.Source, check: o.Check, now: o.Now}
	return &Registry{openFeed("tenants", "the tenants' snapshot", 30*time.Second, o, r)}
}

// none is the snapshot before the first.
var none = emptySnapshot()

// Snapshot returns the tenants as of the last good load: one atomic load, never
// nil, empty before the first.
func (r *Registry) Snapshot() *Snapshot {
	if s := r.Current(); s != nil {
		return s
	}
	return none
}

// Stats is how a registry is doing.
type Stats struct {
	// Source is the source's name.
	Source string
	// Tenants and Hosts count what the current snapshot holds, Problems the faults
	// in its records.
	Tenants, Hosts, Problems int
	// LoadedAt is when the current snapshot was read, GoodAt when the source last
	// said that it is up to date; both are zero before the first load.
	LoadedAt, GoodAt time.Time
	// Age is the time since GoodAt, or since Open before the first load.
	Age time.Duration
	// Loads counts the times that tenants were read, and Failures the polls that
	// failed.
	Loads, Failures uint64
	// LastError is why the last poll failed, nil if it did not.
	LastError error
}

// Stats is cheap and may be called for every scrape or health check.
func (r *Registry) Stats() Stats {
	s, c := r.Snapshot(), r.counted()
	return Stats{
		Source: r.String(), Tenants: s.Len(), Hosts: s.Hosts(), Problems: s.ProblemCount(),
		LoadedAt: s.LoadedAt(), GoodAt: r.GoodAt(), Age: r.Age(),
		Loads: c.loads, Failures: c.failures, LastError: c.lastErr,
	}
}
