package control

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Storage is where the tenants' data is, as far as the control plane is
// concerned. Every method may be repeated after a crash.
type Storage interface {
	// Make makes what holds the tenant's tables, without the tables.
	Make(ctx context.Context, t tenant.Slug, i petstore.Isolation) error
	// Create makes an empty place for the tenant's pets, from nothing or from
	// what Make made.
	Create(ctx context.Context, t tenant.Slug, i petstore.Isolation) error
	// Remove deletes the place and all that is in it.
	Remove(ctx context.Context, t tenant.Slug, i petstore.Isolation) error
	// Target is the version that places must have.
	Target() int64
	// Migrate brings a place to that version and returns the version reached.
	Migrate(ctx context.Context, t tenant.Slug, i petstore.Isolation) (int64, error)
	// PetsIn returns a tenant's pets in one place, wherever requests are led.
	PetsIn(t tenant.Slug, i petstore.Isolation) petstore.Pets
	// Freeze stops writes to a place and waits for those that have begun; Thaw
	// lets them in again.
	Freeze(ctx context.Context, t tenant.Slug, i petstore.Isolation) error
	Thaw(ctx context.Context, t tenant.Slug, i petstore.Isolation) error
	// CreateFrozen is Create for a place that takes no writes yet.
	CreateFrozen(ctx context.Context, t tenant.Slug, i petstore.Isolation) error
	// Rows calls f with every pet, also the deleted ones, ordered by id, as it
	// is at one moment.
	Rows(ctx context.Context, t tenant.Slug, i petstore.Isolation, f func(petstore.Pet) error) error
	// Load adds pets as they are, frozen or not, in one transaction.
	Load(ctx context.Context, t tenant.Slug, i petstore.Isolation, pets func(add func(petstore.Pet) error) error) error
}

// Options shape a [Catalog].
type Options struct {
	// DB holds the catalog. It stays the caller's to close.
	DB *sqldb.DB
	// Owner runs the catalog's migrations and lets Role use the tables, on
	// Postgres; nil means that somebody else has done so. On SQLite both are
	// ignored.
	Owner *sql.DB
	// Plans are the plans a tenant may have; at least one. The first is the
	// default.
	Plans []tenant.Plan
	// Isolation is where new tenants' data goes; empty means shared.
	Isolation petstore.Isolation
	// BaseDomain is the platform's own domain, which no tenant may claim.
	BaseDomain string
	// SiteURL is the address of a tenant's site, for mail; nil leaves it out.
	SiteURL func(tenant.Slug) string
	// PurgeAfter is how long a deactivated tenant's data is kept; 0 means 30
	// days.
	PurgeAfter time.Duration
	// HostHold is how long a host that was given up stays its tenant's; 0
	// means 7 days.
	HostHold time.Duration
	// AccessKeep and AccessAge bound the records of access: how many are kept,
	// and for how long. 0 means [DefaultAccessKeep] and [DefaultAccessAge].
	AccessKeep int
	AccessAge  time.Duration
	// Settle is how soon every process on this catalog learns of a change; 0
	// means 1 s.
	Settle time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Catalog is the table of tenants. It is safe for concurrent use, also by
// several processes on one database.
type Catalog struct {
	db        *sqldb.DB
	plans     []tenant.Plan
	isolation petstore.Isolation
	now       func() time.Time
	storage   Storage

	baseDomain           string
	siteURL              func(tenant.Slug) string
	purgeAfter, hostHold time.Duration
	settle               time.Duration
	accessKeep           int
	accessAge            time.Duration
	accessAdded          atomic.Int64 // since the last trim by SaveAccess
	crashAt              func(string) // set by tests only
}

//go:embed migrations
var embedded embed.FS

// Open brings the catalog's tables up to date and returns the catalog.
func Open(ctx context.Context, o Options) (*Catalog, error) {
	if len(o.Plans) == 0 {
		return nil, errors.New("opening the catalog: expected at least one plan")
	}
	if o.Isolation == "" {
		o.Isolation = petstore.Shared
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Catalog{
		db: o.DB, plans: o.Plans, isolation: o.Isolation, now: o.Now, baseDomain: o.BaseDomain, siteURL: o.SiteURL,
		settle:     cmp.Or(o.Settle, time.Second),
		accessKeep: cmp.Or(o.AccessKeep, DefaultAccessKeep), accessAge: cmp.Or(o.AccessAge, DefaultAccessAge),
		purgeAfter: cmp.Or(o.PurgeAfter, 30*24*time.Hour), hostHold: cmp.Or(o.HostHold, 7*24*time.Hour),
	}
	if err := migrate(ctx, o); err != nil {
		return nil, fmt.Errorf("opening the catalog: %w", err)
	}
	return c, nil
}

// migrate brings the catalog's tables up to date.
func migrate(ctx context.Context, o Options) error {
	pool := o.DB.Pool()
	if o.DB.Engine == sqldb.Postgres {
		if o.Owner == nil {
			return nil
		}
		pool = o.Owner
	}
	files, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return err
	}
	m, err := sqldb.NewMigrator(pool, o.DB.Engine, files, "catalog_versions")
	if err != nil {
		return err
	}
	if _, _, err := m.Up(ctx); err != nil || o.DB.Engine == sqldb.SQLite {
		return err
	}
	var role string
	err = o.DB.View(ctx, func(tx sqldb.Conn) error {
		return tx.QueryRowContext(ctx, `SELECT current_user`).Scan(&role)
	})
	if err != nil {
		return err
	}
	_, err = pool.ExecContext(ctx, `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO `+sqldb.Quote(role))
	return sqldb.Classify(err)
}

// UseStorage sets where tenants' data is. It must be called once, before any
// tenant is created: store and catalog each need the other.
func (c *Catalog) UseStorage(s Storage) { c.storage = s }

// Ping checks that the catalog answers.
func (c *Catalog) Ping(ctx context.Context) error { return c.db.Ping(ctx) }

// change runs f in a transaction that gets a new revision of the catalog.
func (c *Catalog) change(ctx context.Context, f func(tx sqldb.Conn, revision int64) error) error {
	return c.db.Update(ctx, func(tx sqldb.Conn) error {
		// On Postgres the row's lock puts changes in one order: revisions
		// become visible in the order of their numbers.
		var revision int64
		err := tx.QueryRowContext(ctx, `UPDATE catalog_revision SET revision = revision + 1 WHERE one = 1 RETURNING revision`).Scan(&revision)
		if err != nil {
			return err
		}
		return f(tx, revision)
	})
}

const tenantColumns = `id, slug, name, plan, status, limits, isolation, created_at, updated_at, purge_at, upstreams`

// Get returns one tenant with its hosts, or [tenant.ErrNotFound].
func (c *Catalog) Get(ctx context.Context, slug tenant.Slug) (t Tenant, err error) {
	err = c.db.View(ctx, func(tx sqldb.Conn) (err error) {
		t, err = getTenant(ctx, tx, slug)
		return err
	})
	if err != nil {
		return Tenant{}, fmt.Errorf("reading tenant %q: %w", slug, err)
	}
	return t, nil
}

// List returns up to limit tenants with their hosts, ordered by slug,
// beginning after the slug given.
func (c *Catalog) List(ctx context.Context, after string, limit int) (list []Tenant, err error) {
	err = c.db.View(ctx, func(tx sqldb.Conn) (err error) {
		list, err = queryTenants(ctx, tx, `WHERE slug > $1 ORDER BY slug LIMIT $2`, after, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing tenants: %w", err)
	}
	return list, nil
}

func getTenant(ctx context.Context, tx sqldb.Conn, slug tenant.Slug) (Tenant, error) {
	list, err := queryTenants(ctx, tx, `WHERE slug = $1`, slug.String())
	if err != nil {
		return Tenant{}, err
	}
	if len(list) == 0 {
		return Tenant{}, tenant.ErrNotFound
	}
	return list[0], nil
}

// queryTenants reads tenants and their hosts. A row that breaks a rule of
// [tenant] is an error that names it: the catalog writes no such row.
func queryTenants(ctx context.Context, tx sqldb.Conn, where string, args ...any) ([]Tenant, error) {
	rows, err := tx.QueryContext(ctx, `SELECT `+tenantColumns+`,
		(SELECT string_agg(host, ' ') FROM tenant_hosts h WHERE h.slug = tenants.slug),
		(SELECT string_agg(g.name || '=' || g.value, '
') FROM tenant_config g WHERE g.slug = tenants.slug)
		FROM tenants `+where, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err reports what matters
	var list []Tenant
	for rows.Next() {
		t, err := scanTenant(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, rows.Err()
}

func scanTenant(rows *sql.Rows) (t Tenant, err error) {
	var (
		slug, status            string
		created, updated, purge int64
		hosts, config           sql.NullString
		upstreams               string
	)
	err = rows.Scan(&t.ID, &slug, &t.Name, &t.Plan, &status, &t.Limits, &t.Isolation, &created, &updated, &purge, &upstreams, &hosts, &config)
	if err != nil {
		return t, err
	}
	if t.Slug, err = tenant.ParseSlug(slug); err != nil {
		return t, fmt.Errorf("reading tenant %q: %w", t.ID, err)
	}
	if t.Status, err = tenant.ParseStatus(status); err != nil {
		return t, fmt.Errorf("reading tenant %q: %w", slug, err)
	}
	if hosts.Valid && hosts.String != "" {
		t.Hosts = strings.Split(hosts.String, " ")
		slices.Sort(t.Hosts)
	}
	t.Config, t.Upstreams = parseConfig(config.String), splitUpstreams(upstreams)
	t.CreatedAt, t.UpdatedAt = time.UnixMicro(created).UTC(), time.UnixMicro(updated).UTC()
	if purge != 0 {
		t.PurgeAt = time.UnixMicro(purge).UTC()
	}
	return t, nil
}

// newTenantID returns an opaque id: it says nothing about the tenant and is
// never made twice.
func newTenantID() string { return "tnt_" + strings.ToLower(rand.Text()) }

// NewSecret returns a random secret of 130 bits behind a prefix that tells
// people, and scanners for leaked secrets, what it is.
func NewSecret(prefix string) string { return prefix + strings.ToLower(rand.Text()) }
