package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// MigrateOptions say which tenants' tables to bring up to date, and how.
type MigrateOptions struct {
	// Parallel is how many tenants are migrated at one time; 0 means 4.
	Parallel int
	// Canary, when not 0, migrates so many places first; if one of them fails,
	// the rest is left alone.
	Canary int
	// Only, when not empty, leaves all other tenants alone.
	Only []tenant.Slug
	// Progress is told of each place that is done; nil is fine. It is not
	// called by two goroutines at once.
	Progress func(done, total int, p Place)
}

// Place is one set of tenant tables: those that all tenants share, or one
// tenant's own.
type Place struct {
	// Name is "shared" or the tenant's slug.
	Name      string
	Slug      tenant.Slug // zero for the shared tables
	Isolation petstore.Isolation
	Version   int64  // as far as the catalog knows
	Target    int64  // what this program needs
	Failure   string // of the last attempt; empty when it worked
}

// Pending reports whether there is anything to do.
func (p Place) Pending() bool { return p.Version < p.Target || p.Failure != "" }

// Places lists the sets of tables that there are, with their versions.
func (c *Catalog) Places(ctx context.Context) ([]Place, error) {
	target := c.storage.Target()
	places := []Place{{Name: string(petstore.Shared), Isolation: petstore.Shared, Target: target}}
	err := c.db.View(ctx, func(tx sqldb.Conn) error {
		list, err := c.tenantsIn(ctx, tx, `WHERE isolation <> 'shared' AND status <> 'purged' AND status <> 'provisioning' ORDER BY slug`)
		if err != nil {
			return err
		}
		for _, t := range list {
			places = append(places, Place{Name: t.Slug.String(), Slug: t.Slug, Isolation: t.Isolation, Target: target})
		}
		return sqldb.Each(ctx, tx, func(scan sqldb.Scan) error {
			var p Place
			err := scan(&p.Name, &p.Version, &p.Failure)
			if i := slices.IndexFunc(places, func(known Place) bool { return known.Name == p.Name }); i >= 0 {
				places[i].Version, places[i].Failure = p.Version, p.Failure
			}
			return err
		}, `SELECT place, version, failure FROM schema_status`)
	})
	if err != nil {
		return nil, fmt.Errorf("listing tenants' tables: %w", err)
	}
	return places, nil
}

// ErrMigration means that at least one tenant's tables could not be brought up
// to date.
var ErrMigration = errors.New("migration failed")

// Migrate brings tenants' tables up to date. One run has the lock; what is up
// to date is not opened; a failed place is recorded and does not keep the
// others back; a run that was cut off is resumed by the next. The error names
// the places that failed.
func (c *Catalog) Migrate(ctx context.Context, o MigrateOptions) error {
	return c.locked(ctx, "migrate", func(ctx context.Context) error {
		places, err := c.Places(ctx)
		if err != nil {
			return err
		}
		places, err = selected(places, o.Only)
		if err != nil {
			return err
		}
		run := &migration{catalog: c, options: o, total: len(places)}
		rest := places
		if o.Canary > 0 && o.Canary < len(places) {
			first := places[:o.Canary]
			rest = places[o.Canary:]
			if err := run.all(ctx, first); err != nil {
				return fmt.Errorf("migrating the canaries, the rest is left alone: %w", err)
			}
		}
		return run.all(ctx, rest)
	})
}

// selected keeps what has something to do and is asked for, in an order that
// does not change.
func selected(places []Place, only []tenant.Slug) ([]Place, error) {
	var out []Place
	found := map[tenant.Slug]bool{}
	for _, p := range places {
		asked := len(only) == 0 || slices.Contains(only, p.Slug)
		found[p.Slug] = true
		if asked && p.Pending() {
			out = append(out, p)
		}
	}
	for _, slug := range only {
		if !found[slug] {
			return nil, fmt.Errorf("finding the tables of tenant %q: %w with tables of its own", slug, tenant.ErrNotFound)
		}
	}
	slices.SortStableFunc(out, func(a, b Place) int { return cmp.Compare(a.Slug.String(), b.Slug.String()) })
	return out, nil
}

// migration is one run.
type migration struct {
	catalog *Catalog
	options MigrateOptions
	total   int

	mu     sync.Mutex
	done   int
	failed []string
}

func (m *migration) all(ctx context.Context, places []Place) error {
	work := make(chan Place)
	var wg sync.WaitGroup
	for range min(cmp.Or(m.options.Parallel, 4), max(1, len(places))) {
		wg.Go(func() {
			for p := range work {
				m.one(ctx, p)
			}
		})
	}
	for _, p := range places {
		if ctx.Err() != nil {
			break
		}
		work <- p
	}
	close(work)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	if len(m.failed) > 0 {
		slices.Sort(m.failed)
		return fmt.Errorf("%w: %d of %d, see \"petstore migrate status\": %.200q", ErrMigration, len(m.failed), m.total, m.failed)
	}
	return nil
}

func (m *migration) one(ctx context.Context, p Place) {
	version, err := m.catalog.storage.Migrate(ctx, p.Slug, p.Isolation)
	if ctx.Err() != nil {
		return // cut off: nothing is known about this place
	}
	p.Failure = ""
	if err != nil {
		p.Failure = err.Error()
	} else {
		p.Version = version
	}
	if recordErr := m.catalog.recordPlace(ctx, p); recordErr != nil && p.Failure == "" {
		p.Failure = recordErr.Error()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done++
	if p.Failure != "" {
		m.failed = append(m.failed, p.Name)
	}
	if m.options.Progress != nil {
		m.options.Progress(m.done, m.total, p)
	}
}

func (c *Catalog) recordPlace(ctx context.Context, p Place) error {
	return c.write(ctx, func(tx sqldb.Conn) error {
		return sqldb.Exec(ctx, tx, `INSERT INTO schema_status (place, version, failure, updated_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (place) DO UPDATE SET version = $2, failure = $3, updated_at = $4`,
			p.Name, p.Version, p.Failure[:min(len(p.Failure), 1000)], c.now().UnixMicro())
	})
}

// RecordShared notes the version of the tables that all tenants share: a
// server brings them up to date by itself when it starts.
func (c *Catalog) RecordShared(ctx context.Context, version int64) error {
	p := Place{Name: string(petstore.Shared), Version: version}
	if err := c.recordPlace(ctx, p); err != nil {
		return fmt.Errorf("recording the version of the shared tables: %w", err)
	}
	return nil
}
