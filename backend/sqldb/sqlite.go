package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// SQLiteOptions shape a SQLite database. The zero value is right for the main
// file; handles that are held by the hundred take fewer connections.
type SQLiteOptions struct {
	// Readers is the number of connections that read; 0 means one per
	// processor, at least 4.
	Readers int
	// CacheKiB bounds the page cache of each connection; 0 means 2048.
	CacheKiB int
	// MustExist refuses to create the file.
	MustExist bool
}

// OpenSQLite opens the database file at path, made with mode 0600 when it is
// missing, in WAL mode.
//
// A commit is on disk before it is acknowledged (synchronous=FULL). Every
// setting is in the DSN, so that no connection of the pool can lack one. An
// error names the file. Once another file is in its place, every transaction
// is refused with [ErrReplaced].
func OpenSQLite(ctx context.Context, path string, o SQLiteOptions) (*DB, error) {
	db, err := openSQLite(ctx, path, o)
	if err != nil {
		return nil, fmt.Errorf("opening SQLite file %q: %w", path, err)
	}
	return db, nil
}

func openSQLite(ctx context.Context, path string, o SQLiteOptions) (*DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if !o.MustExist {
		if err := makeFile(abs); err != nil {
			return nil, Classify(err)
		}
	}
	id, err := FileAt(abs)
	if err != nil {
		return nil, err
	}
	if o.Readers == 0 {
		o.Readers = max(4, runtime.NumCPU())
	}
	if o.CacheKiB == 0 {
		o.CacheKiB = 2048
	}
	write, err := sql.Open("sqlite", SQLiteDSN(abs, o.CacheKiB, false))
	if err != nil {
		return nil, err
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", SQLiteDSN(abs, o.CacheKiB, true))
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	read.SetMaxOpenConns(o.Readers)
	read.SetMaxIdleConns(o.Readers)
	db := &DB{Engine: SQLite, write: write, read: read, check: func() error { return id.StillAt(abs) }}
	// The writer goes first: it turns WAL on, which a reader cannot.
	if err := write.PingContext(ctx); err != nil {
		return nil, errors.Join(Classify(err), db.Close())
	}
	return db, nil
}

// makeFile makes an empty file that only its owner may read, if there is none.
// One that is there is not even opened: closing it again would take the locks of
// SQLite's own connections in this process with it, and another process would
// then believe that it is the last one, and remove the log under them
// (https://www.sqlite.org/howtocorrupt.html, section 2.2).
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// SQLiteDSN is the data source name of a file, its path escaped.
func SQLiteDSN(path string, cacheKiB int, readOnly bool) string {
	q := sqliteSettings(cacheKiB)
	q.Add("_journal_mode", "WAL")
	q.Add("mode", "rw") // a connection made later does not make a file that is gone
	if readOnly {
		q.Set("_query_only", "1")
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	return strings.Replace(u.String(), "file:///", "file:/", 1)
}

// OpenSQLiteEmpty opens a pool of connections that each hold an empty database
// in memory, to which files are attached for the time of one transaction.
func OpenSQLiteEmpty(connections int) (*DB, error) {
	q := sqliteSettings(256)
	pool, err := sql.Open("sqlite", "file::memory:?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("opening SQLite in memory: %w", err)
	}
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	return &DB{Engine: SQLite, write: pool, read: pool}, nil
}

func sqliteSettings(cacheKiB int) url.Values {
	q := url.Values{}
	q.Set("_busy_timeout", "5000")
	q.Set("_foreign_keys", "1")
	q.Set("_synchronous", "FULL")
	q.Set("_dqs", "0")
	q.Set("_defensive", "1")
	q.Set("_error_rc", "1")
	q.Add("_pragma", fmt.Sprintf("cache_size(-%d)", cacheKiB))
	q.Add("_pragma", "trusted_schema(0)")
	return q
}
