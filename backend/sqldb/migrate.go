package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

// Migrator applies one set of numbered migrations to one database or schema.
type Migrator struct{ p *goose.Provider }

// NewMigrator reads the migrations in fsys; table holds the versions applied.
// The caller closes db after use.
func NewMigrator(db *sql.DB, e Engine, fsys fs.FS, table string) (*Migrator, error) {
	dialect := goose.DialectSQLite3
	if e == Postgres {
		dialect = goose.DialectPostgres
	}
	p, err := goose.NewProvider(dialect, db, fsys,
		goose.WithTableName(table), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return nil, fmt.Errorf("reading migrations: %w", err)
	}
	return &Migrator{p}, nil
}

// Up applies what is pending and returns the version reached and how many
// migrations ran. Each migration is one transaction.
func (m *Migrator) Up(ctx context.Context) (version int64, ran int, err error) {
	results, err := m.p.Up(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("migrating: %w", Classify(err))
	}
	version, err = m.p.GetDBVersion(ctx)
	return version, len(results), Classify(err)
}

// UpTo is Up, no further than version to.
func (m *Migrator) UpTo(ctx context.Context, to int64) error {
	_, err := m.p.UpTo(ctx, to)
	return Classify(err)
}

// Versions returns the version that is applied and the newest there is.
func (m *Migrator) Versions(ctx context.Context) (current, target int64, err error) {
	current, target, err = m.p.GetVersions(ctx)
	return current, target, Classify(err)
}
