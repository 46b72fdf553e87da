package control

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Directory is the catalog in memory: what a request needs to know about its
// tenant, without a query and without a lock. [Directory.Run] keeps it fresh;
// [Directory.Refresh] brings it up to date at once.
type Directory struct {
	catalog *Catalog
	current atomic.Pointer[snapshot]
	mu      sync.Mutex // held while refreshing
}

type snapshot struct {
	revision int64
	tenants  map[tenant.Slug]*Tenant
}

// NewDirectory returns a directory that has been read once.
func NewDirectory(ctx context.Context, c *Catalog) (*Directory, error) {
	d := &Directory{catalog: c}
	d.current.Store(&snapshot{})
	if err := d.Refresh(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

// Config implements the pet store's knowledge of tenants: the configuration of
// an active tenant, or [tenant.ErrInactive] for any other.
func (d *Directory) Config(ctx context.Context, slug tenant.Slug) (petstore.Config, error) {
	t := d.Lookup(slug)
	if t == nil || t.Status != tenant.Active {
		// The gateway may know of a new tenant a moment before this process
		// does. Only it can cause this: the identity is verified. When it fails,
		// what is known stays.
		_ = d.Refresh(ctx)
		t = d.Lookup(slug)
	}
	if t == nil || t.Status != tenant.Active {
		return petstore.Config{}, tenant.ErrInactive
	}
	return t.Config, nil
}

// Lookup returns what is known of the tenant, or nil. The caller must not change
// it.
func (d *Directory) Lookup(slug tenant.Slug) *Tenant { return d.current.Load().tenants[slug] }

// Refresh reads what has changed since the last time. When nothing has, it
// costs one small query.
func (d *Directory) Refresh(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.current.Load()
	next := &snapshot{revision: old.revision}
	var changed []Tenant
	err := d.catalog.db.View(ctx, func(tx sqldb.Conn) (err error) {
		// The revision is read first: on Postgres the two statements may see
		// different moments, and reading a change twice does no harm.
		err = tx.QueryRowContext(ctx, `SELECT revision FROM catalog_revision WHERE one = 1`).Scan(&next.revision)
		if err != nil || next.revision == old.revision {
			return err
		}
		changed, err = d.catalog.tenantsIn(ctx, tx, `WHERE revision > $1`, old.revision)
		return err
	})
	if err != nil {
		return fmt.Errorf("refreshing the directory of tenants: %w", err)
	}
	if next.revision == old.revision {
		return nil
	}
	next.tenants = maps.Clone(old.tenants)
	if next.tenants == nil {
		next.tenants = make(map[tenant.Slug]*Tenant, len(changed))
	}
	for i := range changed {
		next.tenants[changed[i].Slug] = &changed[i]
	}
	d.current.Store(next)
	return nil
}

// Run refreshes every interval until ctx ends. A failed refresh keeps what is
// known.
func (d *Directory) Run(ctx context.Context, interval time.Duration, log *slog.Logger) {
	repeat(ctx, interval, log, "read the catalog", d.Refresh)
}

// Route says where the tenant's data is. A tenant that the directory does not
// know costs no query.
func (d *Directory) Route(ctx context.Context, slug tenant.Slug, fresh bool) (petstore.Isolation, error) {
	if fresh {
		if err := d.Refresh(ctx); err != nil {
			return "", err
		}
	}
	t := d.Lookup(slug)
	if t == nil {
		return "", petstore.ErrNoTenant
	}
	return t.Isolation, nil
}
