// Package sqldb opens the two engines, SQLite and Postgres, and hides the few
// differences between them that are not about tenants: how a transaction
// begins, what an error means, where a migration's version is kept.
//
// SQL is written once for both. Placeholders are $1, $2, ..., which both
// engines read; times are whole microseconds since 1970 in BIGINT columns;
// truth values are the integers 0 and 1.
package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
)

// Engine names a database engine.
type Engine string

// The engines.
const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
)

// DB is one open database. It is safe for concurrent use.
type DB struct {
	Engine Engine
	// write and read are one pool on Postgres. On SQLite write holds a single
	// connection, since the file takes one writer at a time and waiting in Go
	// is fairer than waiting for the file's lock.
	write, read *sql.DB
	check       func() error // asked in every transaction; nil on Postgres
}

// View runs f in a transaction that only reads. Errors are in the vocabulary
// of [Classify].
func (db *DB) View(ctx context.Context, f func(Conn) error) error {
	return db.run(ctx, db.read, false, Setup{}, f)
}

// Update runs f in a transaction that may write and commits it when f returns
// nil. On SQLite it holds the write lock from the start, so that it can never
// fail for having read before. On Postgres the isolation level is READ
// COMMITTED: statements that read and then write lock what they read.
func (db *DB) Update(ctx context.Context, f func(Conn) error) error {
	return db.run(ctx, db.write, true, Setup{}, f)
}

// Setup prepares a connection for one transaction and clears it afterwards.
// Each text is SQL, or empty.
type Setup struct {
	// Before runs before the transaction begins, After when it has ended.
	Before, After string
	// Inside runs first in the transaction: one or more statements, each
	// begun by a semicolon, sent together with BEGIN.
	Inside string
	// Check, unless it is nil, is asked inside the transaction before anything
	// else is done there.
	Check func() error
}

// ViewWith is View with a prepared connection.
func (db *DB) ViewWith(ctx context.Context, s Setup, f func(Conn) error) error {
	return db.run(ctx, db.read, false, s, f)
}

// UpdateWith is Update with a prepared connection.
func (db *DB) UpdateWith(ctx context.Context, s Setup, f func(Conn) error) error {
	return db.run(ctx, db.write, true, s, f)
}

// Pool returns the pool that writes, for tools that need a *sql.DB.
func (db *DB) Pool() *sql.DB { return db.write }

// Ping checks that the database answers.
func (db *DB) Ping(ctx context.Context) error {
	return db.View(ctx, func(c Conn) error {
		var one int
		return c.QueryRowContext(ctx, "SELECT 1").Scan(&one)
	})
}

// Close closes all connections.
func (db *DB) Close() error {
	if db.read == db.write {
		return db.write.Close()
	}
	return errors.Join(db.read.Close(), db.write.Close())
}

// cleanupTimeout bounds what must still run after a request was cancelled.
const cleanupTimeout = 5 * time.Second

// run is the one place where a transaction begins and ends. The connection
// goes back to its pool only when every step of clearing it succeeded: a
// connection that may still carry a tenant is closed instead.
//
// Whether the file is still the right one is asked inside the transaction, so
// that a connection that was made a moment ago is no exception.
func (db *DB) run(ctx context.Context, pool *sql.DB, write bool, s Setup, f func(Conn) error) error {
	if outer, _ := ctx.Value(heldKey{}).(held); write && outer.db == db {
		return db.join(ctx, outer.conn, s, f)
	}
	conn, err := start(ctx, pool, db.Engine, write, s)
	if err != nil {
		return err
	}
	clean, ended := true, false
	defer func() { // also when f panics
		if !ended {
			clean = cleanUp(ctx, conn, "ROLLBACK")
		}
		if clean {
			clean = cleanUp(ctx, conn, s.After)
		}
		release(conn, clean)
	}()
	if err := db.do(conn, s, f); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
		return Classify(fmt.Errorf("committing: %w", err))
	}
	ended = true
	return nil
}

// do is what happens inside of a transaction.
func (db *DB) do(conn Conn, s Setup, f func(Conn) error) error {
	for _, check := range []func() error{db.check, s.Check} {
		if check == nil {
			continue
		}
		if err := check(); err != nil {
			return err
		}
	}
	return Classify(f(conn))
}

// start returns a connection inside a prepared transaction. A connection that
// died while it was idle shows here, before anything was asked of it, so that
// it is safe to try another.
func start(ctx context.Context, pool *sql.DB, e Engine, write bool, s Setup) (*sql.Conn, error) {
	const tries = 3
	prelude := begin(e, write) + s.Inside
	for try := 1; ; try++ {
		conn, err := pool.Conn(ctx)
		if err != nil {
			return nil, Classify(fmt.Errorf("connecting: %w", err))
		}
		if s.Before != "" {
			_, err = conn.ExecContext(ctx, s.Before)
		}
		if err == nil {
			_, err = conn.ExecContext(ctx, prelude)
		}
		if err == nil {
			return conn, nil
		}
		release(conn, false)
		err = Classify(fmt.Errorf("beginning a transaction: %w", err))
		if e != Postgres || try == tries || !errors.Is(err, petstore.ErrUnavailable) {
			return nil, err
		}
	}
}

// cleanUp runs what must run after a request, cancelled or not.
func cleanUp(ctx context.Context, conn *sql.Conn, statement string) bool {
	if statement == "" {
		return true
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	_, err := conn.ExecContext(ctx, statement)
	return err == nil
}

// release gives a clean connection back to its pool and closes any other.
func release(conn *sql.Conn, clean bool) {
	if !clean {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	_ = conn.Close()
}

func begin(e Engine, write bool) string {
	switch {
	case e == SQLite && write:
		return "BEGIN IMMEDIATE"
	case e == Postgres && !write:
		return "BEGIN READ ONLY"
	}
	return "BEGIN"
}
