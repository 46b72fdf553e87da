package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// sqlite is the engine SQLite: one main file for what is shared, and folders
// with a file for each tenant that has its own.
//
// In the strategy "schema" the file is attached to a connection for one
// transaction; in "database" it is opened as a database of its own.
type sqlite struct {
	main  *sqldb.DB
	empty *sqldb.DB
	dir   string
}

// attachments is the number of tenants' files that are attached at one time.
const attachments = 8

func newSQLite(main *sqldb.DB, dir string) (*sqlite, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("finding the folder of tenants' files: %w", err)
	}
	empty, err := sqldb.OpenSQLiteEmpty(attachments)
	if err != nil {
		return nil, err
	}
	return &sqlite{main: main, empty: empty, dir: abs}, nil
}

// File is t's own file in the folder that [Options.Dir] names. A slug is safe as a
// file name by its grammar.
func File(dir string, i petstore.Isolation, t tenant.Slug) string {
	return filepath.Join(dir, string(i), t.String()+".db")
}

func (e *sqlite) file(i petstore.Isolation, t tenant.Slug) string { return File(e.dir, i, t) }

func (e *sqlite) pool(i petstore.Isolation) *sqldb.DB {
	if i == petstore.Schema {
		return e.empty
	}
	return e.main
}

func (e *sqlite) open(ctx context.Context, t tenant.Slug) (*sqldb.DB, error) {
	return openFile(ctx, e.file(petstore.Database, t))
}

func (e *sqlite) in(i petstore.Isolation, t tenant.Slug) sqldb.Setup {
	if i != petstore.Schema {
		return sqldb.Setup{}
	}
	path := e.file(i, t)
	file, _ := sqldb.FileAt(path) // one that is missing cannot be attached
	// mode=rw does not make a file that is missing.
	u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: "mode=rw"}
	return sqldb.Setup{
		Check:  func() error { return file.StillAt(path) },
		Before: `ATTACH '` + strings.ReplaceAll(u.String(), `'`, `''`) + `' AS tenant`,
		After:  `DETACH tenant`,
	}
}

func (e *sqlite) drop(_ context.Context, i petstore.Isolation, t tenant.Slug) error {
	return removeFile(e.file(i, t)) // of the shared tables there is none
}

func (e *sqlite) migrator(ctx context.Context, i petstore.Isolation, t tenant.Slug) (*migrator, error) {
	if i == petstore.Shared {
		return migrateSQLite(e.main, func() error { return nil })
	}
	db, err := openFile(ctx, e.file(i, t))
	if err != nil {
		return nil, err
	}
	return migrateSQLite(db, db.Close)
}

func migrateSQLite(db *sqldb.DB, closing func() error) (*migrator, error) {
	m, err := sqldb.NewMigrator(db.Pool(), sqldb.SQLite, migrations, versionTable)
	if err != nil {
		return nil, errors.Join(err, closing())
	}
	return &migrator{Migrator: m, close: closing}, nil
}

// gone looks for the file: SQLite has one code for a file that is missing and
// one that cannot be opened.
func (e *sqlite) gone(err error, i petstore.Isolation, t tenant.Slug) bool {
	if !errors.Is(err, petstore.ErrUnavailable) {
		return false
	}
	_, statErr := os.Stat(e.file(i, t))
	return errors.Is(statErr, fs.ErrNotExist)
}

func (e *sqlite) close() error { return e.empty.Close() }

// openFile opens a tenant's file with few connections and small caches: many
// are open at one time.
func openFile(ctx context.Context, path string) (*sqldb.DB, error) {
	db, err := sqldb.OpenSQLite(ctx, path, sqldb.SQLiteOptions{MustExist: true, Readers: 2, CacheKiB: 256})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, petstore.ErrNoTenant
	}
	return db, err
}

func (e *sqlite) create(ctx context.Context, i petstore.Isolation, t tenant.Slug) error {
	if i == petstore.Shared {
		return nil
	}
	path := e.file(i, t)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return sqldb.Classify(fmt.Errorf("making the folder of tenants' files: %w", err))
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		// A log left by a removal that was cut off must not be replayed into
		// the new file.
		if err := removeFile(path); err != nil {
			return err
		}
	}
	db, err := sqldb.OpenSQLite(ctx, path, sqldb.SQLiteOptions{Readers: 1})
	if err != nil {
		return err
	}
	return db.Close()
}

// removeFile removes a database: the file itself first, so that nobody opens
// it without its log.
func removeFile(path string) error {
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing a tenant's file: %w", err)
		}
	}
	return nil
}

var _ engine = (*sqlite)(nil)
