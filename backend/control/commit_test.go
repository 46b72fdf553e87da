package control_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqlstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// cutter passes connections to a server on. It breaks the one off that commits
// a transaction with a certain statement: whoever commits does not learn what
// came of it.
type cutter struct {
	listener  net.Listener
	target    string
	statement []byte
	hold      func() // the commit reaches the server when it returns
	cut       atomic.Bool
	work      sync.WaitGroup
}

func startCutter(t *testing.T, target, statement string, hold func()) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, target: target, statement: []byte(statement), hold: hold}
	c.work.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			c.work.Go(func() { c.pass(client) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); c.work.Wait() })
	return c
}

func (c *cutter) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	var answers sync.WaitGroup
	answers.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
	defer answers.Wait()
	defer server.Close()
	buf := make([]byte, 64<<10)
	armed := false
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		armed = armed || bytes.Contains(buf[:n], c.statement)
		if armed && bytes.Contains(buf[:n], []byte("COMMIT\x00")) && c.cut.CompareAndSwap(false, true) {
			_ = client.Close() // its answer goes nowhere
			c.hold()
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// A commit whose answer does not come may have happened, or be about to.
func TestAMoveWhoseCommitIsNotAnsweredLosesNothing(t *testing.T) {
	server := harness.StartPostgres(t)
	server.MakeRole()
	tool, err := sqldb.OpenPostgresTool(server.URL(), sqldb.PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tool.Close() })
	for name, late := range map[string]bool{"it has happened": false, "it happens later": true} {
		t.Run(name, func(t *testing.T) {
			database := fmt.Sprintf("late_%t", late)
			if _, err := tool.ExecContext(t.Context(), "CREATE DATABASE "+database); err != nil {
				t.Fatal(err)
			}
			hold := func() {}
			if late {
				// Until somebody waits for what the transaction has locked.
				hold = func() {
					for waiting := 0; waiting == 0 && t.Context().Err() == nil; {
						if err := tool.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted").Scan(&waiting); err != nil {
							return
						}
					}
				}
			}
			cutter := startCutter(t, fmt.Sprintf("127.0.0.1:%d", server.Port), "SET state = 'switched'", hold)
			w := postgresWorld(t, fmt.Sprintf("postgres://petapp@%s/%s?sslmode=disable", cutter.listener.Addr(), database),
				fmt.Sprintf("postgres://tenancy@127.0.0.1:%d/%s?sslmode=disable", server.Port, database))
			w.create(t, control.New{Slug: "acme", Plan: "free"})
			w.addPets(t, acme, 5)

			err := w.Move(t.Context(), acme, petstore.Schema)
			if !cutter.cut.Load() {
				t.Fatal("no commit was cut off")
			}
			if _, again := w.ResumeMoves(t.Context()); again != nil {
				t.Fatalf("after %v: resuming: %v", err, again)
			}
			w.refresh(t)
			w.addPets(t, acme, 1)
			if names := w.names(t, acme); len(names) != 7 {
				t.Errorf("after %v: %d pets, want 7", err, len(names))
			}
			if at := must(w.Get(t.Context(), acme)).Isolation; err == nil && at != petstore.Schema {
				t.Errorf("the move is said to be done, and the tenant is in %q", at)
			}
		})
	}
}

// A text with a byte that Postgres cannot hold names nothing; it is not a fault
// of the database.
func TestIdsThatNoDatabaseHoldsNameNoCredential(t *testing.T) {
	server := harness.StartPostgres(t)
	w := postgresWorld(t, server.MakeRole(), server.URL())
	w.create(t, control.New{Slug: "acme", Plan: "free"})
	for _, id := range []string{"\x00", "\xff", ""} {
		if err := w.RevokeKey(t.Context(), acme, id); !errors.Is(err, control.ErrNoCredential) {
			t.Errorf("revoking key %q: %v", id, err)
		}
		if err := w.Unrevoke(t.Context(), id); !errors.Is(err, control.ErrNoCredential) {
			t.Errorf("taking revocation %q back: %v", id, err)
		}
	}
}

// postgresWorld is a world on Postgres: url is for requests, owner for tables.
func postgresWorld(t *testing.T, url, owner string) *world {
	t.Helper()
	tool, err := sqldb.OpenPostgresTool(owner, sqldb.PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tool.Close() })
	db, err := sqldb.OpenPostgres(url, sqldb.PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	c, err := control.Open(t.Context(), control.Options{DB: db, Owner: tool, Plans: []tenant.Plan{"free"}, BaseDomain: "pets.example"})
	if err != nil {
		t.Fatal(err)
	}
	c.SettleAtOnce()
	d, err := control.NewDirectory(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlstore.Open(t.Context(), sqlstore.Options{DB: db, Dir: filepath.Join(t.TempDir(), "tenants"), URL: url, OwnerURL: owner, Route: d.Route})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c.UseStorage(s)
	if _, err := s.Migrate(t.Context(), tenant.Slug{}, petstore.Shared); err != nil {
		t.Fatal(err)
	}
	return &world{c, s, d, db}
}
