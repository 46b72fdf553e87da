package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"time"

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

// Several processes that start at once race to make the same tables. Each
// migration is one transaction, so the loser only has to look again.
const (
	upTries = 3
	upWait  = 200 * time.Millisecond
)

// Up applies what is pending and returns the version reached and how many
// migrations ran. Each migration is one transaction.
func (m *Migrator) Up(ctx context.Context) (version int64, ran int, err error) {
	for try := 1; ; try++ {
		results, err := m.p.Up(ctx)
		if err == nil {
			version, err := m.p.GetDBVersion(ctx)
			return version, len(results), Classify(err)
		}
		if try == upTries {
			return 0, 0, fmt.Errorf("migrating: %w", Classify(err))
		}
		wait := time.NewTimer(upWait)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return 0, 0, ctx.Err()
		}
	}
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
