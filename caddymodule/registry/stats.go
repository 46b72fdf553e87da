package registry

import (
	"sync"
	"sync/atomic"
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
	since := r.stats.since()
	r.stats.mu.Lock()
	defer r.stats.mu.Unlock()
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
	failingSince    time.Time
	good            atomic.Pointer[time.Time] // goodAt, for those who may not wait

	closeErr error // written before the goroutine ends, read after
}

// since is from when on the snapshot's age counts.
func (c *counters) since() time.Time {
	if at := c.good.Load(); at != nil {
		return *at
	}
	return c.opened
}

// restored takes over how old a snapshot from the store is.
func (c *counters) restored(goodAt time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.goodAt = goodAt
	c.good.Store(&goodAt)
}

func (c *counters) succeed(at time.Time, loaded bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.goodAt, c.lastErr, c.failing = at, nil, 0
	c.good.Store(&at)
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
		c.failingSince = at
	}
	c.failing++
	c.failures++
	c.lastErr = err
	return Failed{Err: err, Since: c.failingSince, Count: c.failing, LoadedAt: c.goodAt}
}
