package registry

import (
	"sync"
	"time"
)

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
	// Loads counts the times that tenants were read, FullLoads those of them when
	// all were, and Failures the looks at the source that failed.
	Loads, FullLoads, Failures uint64
	// LastError is why the last look failed, nil if it did not.
	LastError error
}

// Stats is cheap and may be called for every scrape or health check.
func (r *Registry) Stats() Stats {
	snapshot := r.Snapshot()
	r.stats.mu.Lock()
	defer r.stats.mu.Unlock()
	since := r.stats.goodAt
	if since.IsZero() {
		since = r.stats.opened
	}
	return Stats{
		Source: r.opts.Source.String(), Tenants: snapshot.Len(), Hosts: snapshot.Hosts(), Problems: snapshot.faults,
		LoadedAt: snapshot.loadedAt, GoodAt: r.stats.goodAt, Age: r.now().Sub(since),
		Loads: r.stats.loads, FullLoads: r.stats.fullLoads, Failures: r.stats.failures, LastError: r.stats.lastErr,
	}
}

type counters struct {
	mu              sync.Mutex
	opened, goodAt  time.Time
	loads, failures uint64
	fullLoads       uint64
	lastErr         error
	failing         int // failures in a row
	since           time.Time

	closeErr error // written before the goroutine ends, read after
}

func (c *counters) succeed(at time.Time, loaded bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.goodAt, c.lastErr, c.failing = at, nil, 0
	if loaded {
		c.loads++
	}
}

func (c *counters) readAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fullLoads++
}

func (c *counters) fail(err error, at time.Time) Failed {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failing == 0 {
		c.since = at
	}
	c.failing++
	c.failures++
	c.lastErr = err
	return Failed{Err: err, Since: c.since, Count: c.failing, LoadedAt: c.goodAt}
}
