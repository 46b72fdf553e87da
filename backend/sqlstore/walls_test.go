package sqlstore

import (
	"errors"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/backend/storetest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// forgetful takes the tenant out of every statement that has it.
func forgetful(s *Store) *Store {
	each(&s.sql, func(_ string, text *string) {
		*text = predicate.ReplaceAllLiteralString(*text, "WHERE $1 <> '' AND ")
	})
	return s
}

func TestWallsHoldWhereEveryStatementForgetsTheTenant(t *testing.T) {
	check := func(t *testing.T, s *Store, i petstore.Isolation) {
		t.Helper()
		t.Parallel()
		if !passes(t, forgetful(s), i, storetest.Walls()) {
			t.Error("a tenant reached another's pets")
		}
	}
	for _, i := range []petstore.Isolation{petstore.Schema, petstore.Database} {
		t.Run("sqlite "+string(i), func(t *testing.T) { check(t, sqliteStore(t, i), i) })
	}
	server := startPostgres(t)
	for _, i := range petstore.Isolations {
		t.Run("postgres "+string(i), func(t *testing.T) { check(t, server.open(t, i), i) })
	}
}

func TestRowSecurityOfPostgres(t *testing.T) {
	server := startPostgres(t)
	t.Run("every tenant table has it, forced", server.everyTableIsForced)
	t.Run("the role sees nothing outside of a tenant's transaction", server.roleSeesNothingElse)
	t.Run("a role that could bypass it is refused", server.bypassIsRefused)
}

func (p *postgresServer) everyTableIsForced(t *testing.T) {
	s := p.open(t, petstore.Schema)
	slug := tenant.MustSlug("acme")
	for _, i := range []petstore.Isolation{petstore.Shared, petstore.Schema} {
		if err := s.Create(t.Context(), slug, i); err != nil {
			t.Fatal(err)
		}
	}
	tables := 0
	err := s.places[petstore.Shared].view(t.Context(), slug, func(c sqldb.Conn) error {
		rows, err := c.QueryContext(t.Context(), `SELECT n.nspname, c.relname, c.relrowsecurity AND c.relforcerowsecurity,
			(SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid AND p.polqual IS NOT NULL AND p.polwithcheck IS NOT NULL AND p.polpermissive)
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relkind IN ('r', 'p', 'm', 'v') AND c.relname <> $1 AND n.nspname IN ('petstore_shared', 'tenant_acme')`, versionTable)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var schema, name string
			var forced bool
			var policies int
			if err := rows.Scan(&schema, &name, &forced, &policies); err != nil {
				return err
			}
			tables++
			if !forced || policies != 1 {
				t.Errorf("table %s.%s: forced row security %v, %d policies, expected true and one", schema, name, forced, policies)
			}
		}
		return rows.Err()
	})
	if err != nil || tables < 4 {
		t.Fatalf("looked at %d tables, %v", tables, err)
	}
}

func (p *postgresServer) roleSeesNothingElse(t *testing.T) {
	s := p.open(t, petstore.Shared)
	slug := tenant.MustSlug("acme")
	if err := s.Create(t.Context(), slug, petstore.Shared); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pets(slug).Create(t.Context(), petstore.Pet{Name: "Rex", Species: "dog"}); err != nil {
		t.Fatal(err)
	}
	db := s.places[petstore.Shared].engine.pool(petstore.Shared)
	for range 20 { // the same connections as before
		var n int
		err := db.View(t.Context(), func(c sqldb.Conn) error {
			return c.QueryRowContext(t.Context(), `SELECT count(*) FROM petstore_shared.pets`).Scan(&n)
		})
		if err != nil || n != 0 {
			t.Fatalf("saw %d pets, %v", n, err)
		}
	}
	err := s.places[petstore.Shared].update(t.Context(), slug, func(c sqldb.Conn) error {
		_, err := c.ExecContext(t.Context(), spaceOpen, "globex", stateOpen, 1)
		return err
	})
	if !errors.Is(err, sqldb.ErrDenied) {
		t.Errorf("a write for another tenant: got error %v, expected ErrDenied", err)
	}
	for _, statement := range []string{`TRUNCATE pets`, `ALTER TABLE pets DISABLE ROW LEVEL SECURITY`, `DROP TABLE pets`, `SET ROLE petowner`} {
		err := s.places[petstore.Shared].update(t.Context(), slug, func(c sqldb.Conn) error {
			_, err := c.ExecContext(t.Context(), statement)
			return err
		})
		if !errors.Is(err, sqldb.ErrDenied) {
			t.Errorf("%s: got error %v, expected ErrDenied", statement, err)
		}
	}
}

func (p *postgresServer) bypassIsRefused(t *testing.T) {
	p.exec(t, `CREATE ROLE bypasser LOGIN BYPASSRLS`, `CREATE ROLE climber LOGIN`, `GRANT tenancy TO climber`,
		`CREATE ROLE member LOGIN`, `GRANT petowner TO member`)
	s := p.open(t, petstore.Shared) // leaves tables of petowner's
	database := s.places[petstore.Shared].engine.(*postgres).base
	for role, want := range map[string]string{"tenancy": "tenancy", "bypasser": "bypasser", "climber": "tenancy", "petowner": "pets", "member": "pets"} {
		url := p.url(role, database)
		db, err := sqldb.OpenPostgres(url, sqldb.PostgresOptions{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(t.Context(), Options{DB: db, URL: url})
		if !errors.Is(err, ErrRole) {
			t.Errorf("role %q: got error %v, expected ErrRole", role, err)
		} else if want != "pets" && !strings.Contains(err.Error(), want) {
			t.Errorf("role %q: error %q does not name %q", role, err, want)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNamesOfSchemasFitAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range []string{"a", "a-b", strings.Repeat("a", 55), strings.Repeat("a", 56), strings.Repeat("a", 57), strings.Repeat("a", 63), strings.Repeat("a", 62) + "b"} {
		name := schemaName(tenant.MustSlug(s))
		if len(name) > 63 || seen[name] {
			t.Errorf("slug %q has the schema %q: too long or another's", s, name)
		}
		seen[name] = true
	}
}
