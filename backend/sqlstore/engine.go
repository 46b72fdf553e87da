package sqlstore

import (
	"context"
	"errors"

	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// engine is what a strategy needs to know about SQLite or Postgres.
type engine interface {
	// inShared prepares a transaction in the tables that all tenants share.
	inShared(t tenant.Slug) sqldb.Setup
	// migrateShared opens those tables for migrations.
	migrateShared(ctx context.Context) (*migrator, error)
}

// migrator is a set of tables opened for migrations.
type migrator struct {
	*sqldb.Migrator
	// after runs when migrations were applied: it lets the ordinary role use
	// what the owner made.
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
