package sqldb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
)

// Classes of errors that callers act on. [Classify] wraps an engine's error
// with one of them or with [petstore.ErrUnavailable].
var (
	// ErrUnique means that a row of that key is there already.
	ErrUnique = errors.New("key exists")
	// ErrNoTable means that a table or column is missing.
	ErrNoTable = errors.New("no such table or column")
	// ErrNoDatabase means that the database itself is missing.
	ErrNoDatabase = errors.New("no such database")
	// ErrDenied means that the engine refused by its own rules of access, such
	// as row level security.
	ErrDenied = errors.New("denied by the database")
)

// Classify wraps err with its class, by the engines' codes and never by the
// text of a message. An error that has a class already, or none, is returned
// as it is.
func Classify(err error) error {
	if err == nil || classified(err) {
		return err
	}
	if class := classOf(err); class != nil {
		return fmt.Errorf("%w: %w", class, err)
	}
	return err
}

func classified(err error) bool {
	for _, class := range []error{ErrUnique, ErrNoTable, ErrNoDatabase, ErrDenied, petstore.ErrUnavailable} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

func classOf(err error) error {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return sqliteClass(lite)
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return postgresClass(pg.Code)
	}
	var network net.Error
	var connect *pgconn.ConnectError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil // the caller's own doing
	case errors.As(err, &network), errors.As(err, &connect),
		errors.Is(err, driver.ErrBadConn), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EMFILE),
		errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS),
		errors.Is(err, net.ErrClosed), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return petstore.ErrUnavailable
	}
	return nil
}

func sqliteClass(err *sqlite.Error) error {
	switch err.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return ErrUnique
	}
	switch err.Code() & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR,
		sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PROTOCOL:
		return petstore.ErrUnavailable
	case sqlite3.SQLITE_ERROR:
		// SQLite has one code for every mistake in SQL; a missing table or
		// column has no other sign than the text, which is part of its
		// compatibility promise in practice and pinned by a test.
		if s := err.Error(); strings.Contains(s, "no such table") || strings.Contains(s, "no such column") || strings.Contains(s, "has no column") {
			return ErrNoTable
		}
	}
	return nil
}

// postgresClass maps SQLSTATE (PostgreSQL manual, appendix A).
func postgresClass(code string) error {
	switch code {
	case "23505":
		return ErrUnique
	case "42P01", "42703", "3F000":
		return ErrNoTable
	case "42501":
		return ErrDenied
	case "3D000":
		return ErrNoDatabase
	case "55P03", "57014", "40001", "40P01":
		// Lock not available, statement timeout, serialisation failure,
		// deadlock.
		return petstore.ErrUnavailable
	}
	switch code[:min(2, len(code))] {
	case "08", "53", "57", "58", "25":
		// Connection, resources (disk full is 53100), operator intervention,
		// system, read-only or aborted transaction.
		return petstore.ErrUnavailable
	}
	return nil
}
