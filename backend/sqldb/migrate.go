package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

// Migrator applies one set of numbered migrations to one database or schema.
type Migrator struct{ p *goose.Provider }

// NewMigrator reads the migrations in fsys; table holds the versions applied.
// A file whose name ends in "_sqlite.sql" or "_postgres.sql" is for that engine
// only. The caller closes db after use.
func NewMigrator(db *sql.DB, e Engine, fsys fs.FS, table string) (*Migrator, error) {
	dialect, other := goose.DialectSQLite3, Postgres
	if e == Postgres {
		dialect, other = goose.DialectPostgres, SQLite
	}
	excluded, err := fs.Glob(fsys, "*_"+string(other)+".sql")
	if err != nil {
		return nil, fmt.Errorf("reading migrations: %w", err)
	}
	p, err := goose.NewProvider(dialect, db, fsys, goose.WithExcludeNames(excluded),
		goose.WithTableName(table), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return nil, fmt.Errorf("reading migrations: %w", err)
	}
	return &Migrator{p}, nil
}

// Newest is the highest number among the migrations in fsys.
func Newest(fsys fs.FS) (int64, error) {
	names, err := fs.Glob(fsys, "*.sql") // sorted
	if err != nil || len(names) == 0 {
		return 0, fmt.Errorf("reading migrations: found %d: %w", len(names), err)
	}
	number, _, _ := strings.Cut(names[len(names)-1], "_")
	return strconv.ParseInt(number, 10, 64)
}

// Several processes that start at once race to make the same tables. Each
// migration is one transaction, so the loser only has to look again.
const (
	upTries = 3
	upWait  = 200 * time.Millisecond
)

// Up applies what is pending, each migration in one transaction, and returns
// the version reached.
func (m *Migrator) Up(ctx context.Context) (version int64, err error) {
	for try := 1; ; try++ {
		if _, err = m.p.Up(ctx); err == nil {
			version, err = m.p.GetDBVersion(ctx)
			return version, Classify(err)
		}
		if try == upTries {
			return 0, fmt.Errorf("migrating: %w", Classify(err))
		}
		select {
		case <-time.After(upWait):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// UpTo is Up, no further than version to.
func (m *Migrator) UpTo(ctx context.Context, to int64) error {
	_, err := m.p.UpTo(ctx, to)
	return Classify(err)
}
