// Package control is the control plane: the catalog of tenants that the
// gateway reads, and everything an operator does to a tenant.
//
// It knows no HTTP, and it reaches the tenants' data only through [Storage].
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
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/dial"
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
	// Reserved are names that no new tenant may have, besides those that
	// [tenant.ParseSlug] refuses. Tenants that have one already keep it.
	Reserved map[string]bool
	// Upstreams says which backends of their own tenants may have. It should say
	// what the gateway's setting says; the zero value is the default of both.
	Upstreams dial.Policy
	// SiteURL is the address of a tenant's site, for mail; nil leaves it out.
	SiteURL func(tenant.Slug) string
	// AccessKeep and AccessAge bound the records of access: how many are kept,
	// and for how long. 0 means [DefaultAccessKeep] and [DefaultAccessAge].
	AccessKeep int
	AccessAge  time.Duration
	// Log is told of rows that cannot be read; nil discards it.
	Log *slog.Logger
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

	baseDomain  string
	reserved    map[string]bool
	dial        dial.Policy
	siteURL     func(tenant.Slug) string
	log         *slog.Logger
	accessKeep  int
	accessAge   time.Duration
	accessAdded atomic.Int64  // since the last trim by SaveAccess
	settle      time.Duration // settleTime but in tests
	crashAt     func(string)  // set by tests only
}

// How long things last.
const (
	purgeAfter = 30 * 24 * time.Hour // a deactivated tenant's data
	hostHold   = 7 * 24 * time.Hour  // a host that was given up stays its tenant's
	settleTime = time.Second         // until every process on the catalog knows of a change
)

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
		db: o.DB, plans: o.Plans, isolation: o.Isolation, now: o.Now, baseDomain: o.BaseDomain, siteURL: o.SiteURL, reserved: o.Reserved, dial: o.Upstreams,
		accessKeep: cmp.Or(o.AccessKeep, DefaultAccessKeep), accessAge: cmp.Or(o.AccessAge, DefaultAccessAge),
		settle: settleTime, log: cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
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
	if _, err := m.Up(ctx); err != nil || o.DB.Engine == sqldb.SQLite {
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

// change runs f in a transaction that changes tenants. It locks the revision first,
// as the triggers that raise it would do later: two changes that lock other rows in
// another order before that would wait for each other.
func (c *Catalog) change(ctx context.Context, f func(tx sqldb.Conn) error) error {
	return c.db.Update(ctx, func(tx sqldb.Conn) error {
		if err := sqldb.Exec(ctx, tx, `UPDATE catalog_revision SET revision = revision`); err != nil {
			return err
		}
		if err := c.checkLease(ctx, tx); err != nil {
			return err
		}
		return f(tx)
	})
}

// newTenantID returns an opaque id: it says nothing about the tenant and is
// never made twice.
func newTenantID() string { return "tnt_" + strings.ToLower(rand.Text()) }

// NewSecret returns a random secret of 130 bits behind a prefix that tells
// people, and scanners for leaked secrets, what it is.
func NewSecret(prefix string) string { return prefix + strings.ToLower(rand.Text()) }
