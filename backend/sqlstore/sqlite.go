package sqlstore

import (
	"context"

	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// sqlite is the engine SQLite: one main file and a folder of tenants' files.
type sqlite struct {
	main *sqldb.DB
	dir  string
}

func (e *sqlite) inShared(tenant.Slug) sqldb.Setup { return sqldb.Setup{} }

func (e *sqlite) migrateShared(context.Context) (*migrator, error) {
	m, err := sqldb.NewMigrator(e.main.Pool(), sqldb.SQLite, migrationsFor(sqldb.SQLite), versionTable)
	if err != nil {
		return nil, err
	}
	return &migrator{Migrator: m, close: func() error { return nil }}, nil
}

var _ engine = (*sqlite)(nil)
