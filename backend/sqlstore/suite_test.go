package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/backend/storetest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// sqliteStore returns a prepared store on a new file.
func sqliteStore(tb testing.TB, i petstore.Isolation) *Store {
	tb.Helper()
	dir := tb.TempDir()
	db, err := sqldb.OpenSQLite(tb.Context(), filepath.Join(dir, "petstore.db"), sqldb.SQLiteOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	s, err := Open(tb.Context(), Options{DB: db, Dir: filepath.Join(dir, "tenants"), Route: Always(i)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	if _, err := s.Migrate(tb.Context(), tenant.Slug{}, petstore.Shared); err != nil {
		tb.Fatal(err)
	}
	return s
}

func fixture(s *Store, i petstore.Isolation) storetest.Fixture {
	return storetest.Fixture{
		Store:  s,
		Create: func(ctx context.Context, t tenant.Slug) error { return s.Create(ctx, t, i) },
		Remove: func(ctx context.Context, t tenant.Slug) error { return s.Remove(ctx, t, i) },
	}
}

// postgresServer is a server with an owner and an ordinary role, and an empty
// database for each call of store.
type postgresServer struct {
	server *harness.Postgres
	admin  *sql.DB
	n      int
}

func startPostgres(t testing.TB) *postgresServer {
	t.Helper()
	p := &postgresServer{server: harness.StartPostgres(t)}
	admin, err := sqldb.OpenPostgresTool(p.server.URL(), sqldb.PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close() })
	p.admin = admin
	p.exec(t, `CREATE ROLE petowner LOGIN CREATEDB`, `CREATE ROLE petapp LOGIN`, `GRANT petapp TO petowner`)
	return p
}

func (p *postgresServer) exec(tb testing.TB, statements ...string) {
	tb.Helper()
	for _, s := range statements {
		if _, err := p.admin.ExecContext(tb.Context(), s); err != nil {
			tb.Fatalf("%s: %v", s, err)
		}
	}
}

// url is how a role connects to a database.
func (p *postgresServer) url(role, database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", role, p.server.Port, database)
}

// open returns a prepared store in a new database.
func (p *postgresServer) open(tb testing.TB, i petstore.Isolation) *Store {
	tb.Helper()
	p.n++
	name := fmt.Sprintf("pets%d", p.n)
	p.exec(tb, `CREATE DATABASE `+name+` OWNER petowner`)
	db, err := sqldb.OpenPostgres(p.url("petapp", name), sqldb.PostgresOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	s, err := Open(tb.Context(), Options{DB: db, URL: p.url("petapp", name), OwnerURL: p.url("petowner", name), Route: Always(i)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	if _, err := s.Migrate(tb.Context(), tenant.Slug{}, petstore.Shared); err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestEveryStoreConforms(t *testing.T) {
	for _, i := range petstore.Isolations {
		t.Run("sqlite "+string(i), func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, fixture(sqliteStore(t, i), i))
		})
	}
	server := startPostgres(t)
	for _, i := range petstore.Isolations {
		t.Run("postgres "+string(i), func(t *testing.T) {
			s := server.open(t, i)
			t.Parallel()
			storetest.Run(t, fixture(s, i))
		})
	}
}
