package sqlstore

import (
	"context"
	"errors"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// engine is what the strategies need to know about SQLite or Postgres. Its
// methods that create and drop may be repeated.
type engine interface {
	// inShared prepares a transaction in the tables that all tenants share.
	inShared(t tenant.Slug) sqldb.Setup
	// migrateShared opens those tables for migrations.
	migrateShared(ctx context.Context) (*migrator, error)

	// schemas is the pool whose connections inSchema prepares.
	schemas() *sqldb.DB
	// inSchema prepares a transaction in t's own tables.
	inSchema(t tenant.Slug) sqldb.Setup
	// createSchema and dropSchema make and remove what holds those tables.
	createSchema(ctx context.Context, t tenant.Slug) error
	dropSchema(ctx context.Context, t tenant.Slug) error
	migrateSchema(ctx context.Context, t tenant.Slug) (*migrator, error)

	// openDatabase opens t's own database, or returns petstore.ErrNoTenant.
	openDatabase(ctx context.Context, t tenant.Slug) (*sqldb.DB, error)
	// inDatabase prepares a transaction there.
	inDatabase(t tenant.Slug) sqldb.Setup
	createDatabase(ctx context.Context, t tenant.Slug) error
	dropDatabase(ctx context.Context, t tenant.Slug) error
	migrateDatabase(ctx context.Context, t tenant.Slug) (*migrator, error)

	// gone says whether an error on the way to t's place means that the place
	// does not exist.
	gone(err error, i petstore.Isolation, t tenant.Slug) bool
	close() error
}

// migrator is a set of tables opened for migrations.
type migrator struct {
	*sqldb.Migrator
	// after runs when migrations were applied: it lets the ordinary role use
	// what the owner made. It may be nil.
	after func(context.Context) error
	close func() error
}

// up applies what is pending and returns the version reached.
func (m *migrator) up(ctx context.Context) (version int64, ran int, err error) {
	version, ran, err = m.Up(ctx)
	if err == nil && m.after != nil {
		err = m.after(ctx)
	}
	return version, ran, err
}

// withMigrator opens t's tables at p, runs f and closes them.
func withMigrator(ctx context.Context, p place, t tenant.Slug, f func(*migrator) error) error {
	m, err := p.migrator(ctx, t)
	if err != nil {
		return err
	}
	return errors.Join(f(m), m.close())
}
