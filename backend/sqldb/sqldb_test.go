package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

func openSQLite(t *testing.T) (*sqldb.DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "odd ?name%#'.db")
	db, err := sqldb.OpenSQLite(t.Context(), path, sqldb.SQLiteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db, path
}

func openPostgres(t *testing.T) (*sqldb.DB, *harness.Postgres) {
	t.Helper()
	server := harness.StartPostgres(t)
	db, err := sqldb.OpenPostgres(server.URL(), sqldb.PostgresOptions{Connections: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db, server
}

func exec(ctx context.Context, db *sqldb.DB, statements ...string) error {
	return db.Update(ctx, func(c sqldb.Conn) error {
		for _, s := range statements {
			if _, err := c.ExecContext(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// Both engines are asked to make the same mistakes.
func TestErrorsOfBothEnginesHaveTheSameClasses(t *testing.T) {
	lite, _ := openSQLite(t)
	pg, _ := openPostgres(t)
	for _, db := range []*sqldb.DB{lite, pg} {
		t.Run(string(db.Engine), func(t *testing.T) {
			err := exec(t.Context(), db,
				"CREATE TABLE owner (id TEXT NOT NULL PRIMARY KEY)",
				"CREATE TABLE pet (id TEXT NOT NULL PRIMARY KEY, owner TEXT REFERENCES owner (id), chip TEXT UNIQUE)",
				"INSERT INTO owner VALUES ('a')", "INSERT INTO pet VALUES ('p', 'a', 'c')")
			if err != nil {
				t.Fatal(err)
			}
			for statement, want := range map[string]error{
				"INSERT INTO owner VALUES ('a')":            sqldb.ErrUnique,
				"INSERT INTO pet VALUES ('q', 'a', 'c')":    sqldb.ErrUnique,
				"DELETE FROM missing":                       sqldb.ErrNoTable,
				"UPDATE pet SET colour = 'red'":             sqldb.ErrNoTable,
				"INSERT INTO pet (id, colour) VALUES (1,2)": sqldb.ErrNoTable,
			} {
				if err := exec(t.Context(), db, statement); !errors.Is(err, want) {
					t.Errorf("%s: got error %v, expected %v", statement, err, want)
				}
			}
			if err := exec(t.Context(), db, "SELEKT"); err == nil || errors.Is(err, sqldb.ErrNoTable) || errors.Is(err, petstore.ErrUnavailable) {
				t.Errorf("a mistake in SQL: got error %v, expected one without a class", err)
			}
		})
	}
}

func TestTransactionThatFailsPanicsOrIsCancelledLeavesNothing(t *testing.T) {
	lite, _ := openSQLite(t)
	pg, _ := openPostgres(t)
	for _, db := range []*sqldb.DB{lite, pg} {
		t.Run(string(db.Engine), func(t *testing.T) {
			if err := exec(t.Context(), db, "CREATE TABLE pet (id TEXT)"); err != nil {
				t.Fatal(err)
			}
			stop := errors.New("stop")
			insert := func(ctx context.Context, then func() error) error {
				return db.Update(ctx, func(c sqldb.Conn) error {
					if _, err := c.ExecContext(ctx, "INSERT INTO pet VALUES ('x')"); err != nil {
						return err
					}
					return then()
				})
			}
			if err := insert(t.Context(), func() error { return stop }); !errors.Is(err, stop) {
				t.Errorf("got error %v, expected the function's own", err)
			}
			func() {
				defer func() {
					if recover() == nil {
						t.Error("the panic was swallowed")
					}
				}()
				_ = insert(t.Context(), func() error { panic("stop") })
			}()
			ctx, cancel := context.WithCancel(t.Context())
			if err := insert(ctx, func() error { cancel(); return ctx.Err() }); !errors.Is(err, context.Canceled) {
				t.Errorf("got error %v, expected context.Canceled", err)
			}
			for range 8 { // every connection of the pool
				var n int
				err := db.View(t.Context(), func(c sqldb.Conn) error {
					return c.QueryRowContext(t.Context(), "SELECT count(*) FROM pet").Scan(&n)
				})
				if err != nil || n != 0 {
					t.Fatalf("got %d rows, %v, expected none", n, err)
				}
			}
			if err := db.View(t.Context(), func(c sqldb.Conn) error {
				_, err := c.ExecContext(t.Context(), "INSERT INTO pet VALUES ('x')")
				return err
			}); err == nil {
				t.Error("a transaction that only reads could write")
			}
		})
	}
}

func TestBackupOfABusyFileIsWhole(t *testing.T) {
	db, path := openSQLite(t)
	if err := exec(t.Context(), db, "CREATE TABLE pet (id TEXT)"); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := exec(t.Context(), db, "INSERT INTO pet VALUES ('a')", "INSERT INTO pet VALUES ('b')"); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for i := range 5 {
		to := filepath.Join(t.TempDir(), fmt.Sprint(i, ".db"))
		if err := sqldb.BackUp(t.Context(), path, to); err != nil {
			t.Fatal(err)
		}
		copied, err := sqldb.OpenSQLite(t.Context(), to, sqldb.SQLiteOptions{MustExist: true})
		if err != nil {
			t.Fatal(err)
		}
		var n int
		err = copied.View(t.Context(), func(c sqldb.Conn) error {
			return c.QueryRowContext(t.Context(), "SELECT count(*) FROM pet").Scan(&n)
		})
		if err != nil || n%2 != 0 {
			t.Errorf("got %d rows, %v, expected whole transactions", n, err)
		}
		if err := copied.Close(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	<-done
	if err := sqldb.BackUp(t.Context(), path+"-missing", path+"-copy"); err == nil {
		t.Error("a missing file was backed up")
	}
	if err := os.WriteFile(path+"-broken", []byte(strings.Repeat("not a database ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := sqldb.CheckIntegrity(t.Context(), path+"-broken"); err == nil {
		t.Error("a broken file passed the check")
	}
}

func TestPasswordOfAPostgresURLIsNeverShown(t *testing.T) {
	for _, url := range []string{"postgres://app:secret@host:port/db", "postgres://app:secret@[::1/db", "mysql://app:secret@host/db", "host=x password=secret port=y"} {
		if _, err := sqldb.OpenPostgres(url, sqldb.PostgresOptions{}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("got error %v", err)
		}
	}
}
