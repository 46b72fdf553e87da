package sqlstore

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/backend/storetest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// sqliteStore returns a prepared store on a new file.
func sqliteStore(tb testing.TB, i petstore.Isolation) *Store {
	tb.Helper()
	dir := tb.TempDir()
	db, err := sqldb.OpenSQLite(tb.Context(), filepath.Join(dir, "petstore.db"), sqldb.SQLiteOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	s, err := Open(Options{DB: db, Dir: filepath.Join(dir, "tenants"), Route: Always(i)})
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
	if err := s.Prepare(tb.Context()); err != nil {
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

func TestEveryStoreConforms(t *testing.T) {
	t.Run("sqlite shared", func(t *testing.T) {
		storetest.Run(t, fixture(sqliteStore(t, petstore.Shared), petstore.Shared))
	})
}
