package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// operatorShell runs commands on one installation.
type operatorShell struct {
	t   *testing.T
	env map[string]string
	dir string
}

// do expects an exit code and returns what was printed.
func (o *operatorShell) do(code int, args ...string) string {
	o.t.Helper()
	var out bytes.Buffer
	if got := run(o.t.Context(), append(args, "--data", o.dir), environ(o.env), &out, &out); got != code {
		o.t.Fatalf("%v: exit code %d, expected %d: %s", args, got, code, out.String())
	}
	return out.String()
}

func TestOperatorWorksOnTenantsFromTheCommandLine(t *testing.T) {
	o := &operatorShell{t: t, dir: filepath.Join(t.TempDir(), "data")}
	archive := filepath.Join(t.TempDir(), "acme.tar.gz")
	expect := func(got, want string) {
		t.Helper()
		if !strings.Contains(got, want) {
			t.Errorf("got %s, expected %q in it", got, want)
		}
	}
	expect(o.do(0, "tenant", "create", "acme", "--plan", "premium", "--email", "ada@example.com"), "one-time token: setup_")
	expect(o.do(1, "tenant", "create", "acme"), "already taken")
	expect(o.do(1, "tenant", "create", "www"), `"slug"`)
	expect(o.do(2, "tenant", "create"), "expected SLUG")
	expect(o.do(2, "tenant", "dance"), "tenant dance")
	expect(o.do(2, "tenant", "set", "acme"), "expected something to change")
	expect(o.do(0, "tenant", "set", "acme", "--limits", "200/1h", "--hosts", "shop.acme.example"), "premium")
	expect(o.do(0, "tenant", "set", "acme", "--upstreams", "10.0.0.1:80, silo.example:9000"), "premium")
	expect(o.do(0, "tenant", "show", "acme"), "silo.example:9000")
	expect(o.do(1, "tenant", "set", "acme", "--upstreams", "10.0.0.1:80,10.0.0.2"), "upstreams[1]")
	o.do(0, "tenant", "set", "acme", "--upstreams", "")
	expect(o.do(0, "tenant", "show", "acme"), `"upstreams": null`)
	expect(o.do(0, "tenant", "list"), "acme  premium  active  shared")
	expect(o.do(0, "tenant", "suspend", "acme"), "suspended")
	expect(o.do(0, "tenant", "activate", "acme"), "active")
	expect(o.do(0, "tenant", "move", "acme", "--to", "database"), "in database")
	o.do(0, "tenant", "export", "acme", "--output", archive)
	expect(o.do(1, "tenant", "export", "acme", "--output", archive), "exists")
	expect(o.do(0, "tenant", "import", archive, "--slug", "copy", "--isolation", "schema"), "in schema")
	expect(o.do(0, "tenant", "deactivate", "acme"), "to be purged at")
	expect(o.do(1, "tenant", "purge", "acme"), "confirm")
	expect(o.do(0, "tenant", "purge", "acme", "--confirm", "acme"), "purged")
	expect(o.do(1, "tenant", "show", "nobody"), "no such tenant")
	expect(o.do(0, "tenant", "show", "acme"), `"tenant.purge"`)
	expect(o.do(0, "migrate", "plan"), "0 of 2 to migrate")
	expect(o.do(2, "migrate", "down"), "expected up, status or plan")
}

func TestWholeProgramRunsOnPostgres(t *testing.T) {
	server := harness.StartPostgres(t)
	admin, err := sqldb.OpenPostgresTool(server.URL(), sqldb.PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	for _, s := range []string{`CREATE ROLE petowner LOGIN CREATEDB`, `CREATE ROLE petapp LOGIN`, `GRANT petapp TO petowner`, `CREATE DATABASE petstore OWNER petowner`} {
		execute(t, admin, s)
	}
	url := func(role string) string {
		return fmt.Sprintf("postgres://%s@127.0.0.1:%d/petstore?sslmode=disable", role, server.Port)
	}
	dir := filepath.Join(t.TempDir(), "data")
	env := map[string]string{"PETSTORE_DATABASE_URL": url("petapp"), "PETSTORE_OWNER_URL": url("petowner")}
	o := &operatorShell{t: t, dir: dir, env: env}
	bypass := &operatorShell{t: t, dir: dir, env: map[string]string{"PETSTORE_DATABASE_URL": url("tenancy")}}
	for _, i := range []string{"shared", "schema", "database"} {
		o.do(0, "tenant", "create", "in-"+i, "--isolation", i)
	}
	if got := bypass.do(1, "tenant", "list"); !strings.Contains(got, "bypass row level security") {
		t.Errorf("a superuser: got %s", got)
	}
	if got := (&operatorShell{t: t, dir: dir, env: map[string]string{"PETSTORE_DATABASE_URL": "mysql://u:secret@x/"}}).do(2, "tenant", "list"); strings.Contains(got, "secret") {
		t.Errorf("the password is printed: %s", got)
	}
	if got := o.do(0, "migrate", "status"); !strings.Contains(got, "0 of 3 to migrate") {
		t.Errorf("got %s", got)
	}

	// From Postgres to SQLite and from place to place.
	archive := filepath.Join(t.TempDir(), "a.tar.gz")
	o.do(0, "tenant", "move", "in-shared", "--to", "database")
	o.do(0, "tenant", "move", "in-schema", "--to", "shared")
	o.do(0, "tenant", "export", "in-shared", "--output", archive)
	lite := &operatorShell{t: t, dir: filepath.Join(t.TempDir(), "lite")}
	lite.do(0, "tenant", "import", archive)
	o.do(0, "tenant", "import", archive, "--slug", "back-again", "--isolation", "schema")

	g := newGateway(t, dir)
	s := startIn(t, env, "--data", dir)
	for _, slug := range []string{"in-shared", "in-schema", "in-database", "back-again"} {
		status, body, err := g.call(t.Context(), "GET", s.address+"/api/pets/sample", slug, "", "")
		if err != nil || status != 200 {
			t.Errorf("%s: got %d %s, %v", slug, status, body, err)
		}
	}
	status, body, err := g.call(t.Context(), "POST", s.address+"/api/admin/tenants", "", readToken(t, dir), `{"slug":"fresh","isolation":"database"}`)
	if err != nil || status != 201 {
		t.Errorf("creating over HTTP: got %d %s, %v", status, body, err)
	}
	// The server outlives its database.
	server.Kill()
	waitFor(t, func() bool { // its children may still answer for a moment
		status, body, err = g.call(t.Context(), "GET", s.address+"/api/pets", "in-schema", "", "")
		if err != nil || (status != 200 && status != 503) {
			t.Fatalf("without Postgres: got %d %s, %v, expected 503", status, body, err)
		}
		return status == 503
	})
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestWelcomeMailBecomesAFileWithoutAMailServer(t *testing.T) {
	o := &operatorShell{t: t, dir: filepath.Join(t.TempDir(), "data")}
	o.do(0, "tenant", "create", "acme", "--email", "ada@example.com")
	start(t, "--data", o.dir)
	var files []string
	waitFor(t, func() bool {
		files, _ = filepath.Glob(filepath.Join(o.dir, "outbox", "*.eml"))
		return len(files) == 1
	})
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"To: <ada@example.com>", "Subject: Welcome to your pet store", "acme.petstore.localhost:8443", "setup_"} {
		if !strings.Contains(string(b), part) {
			t.Errorf("the mail lacks %q: %s", part, b)
		}
	}
}

func TestServersThatStartAtOnceOnAFreshFolderAllServe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var programs []*program
	for range 3 {
		programs = append(programs, runProgram(t, "serve", "--listen", "127.0.0.1:0", "--data", dir, "--demo"))
	}
	for _, p := range programs {
		address := p.address(t)
		status, body := get(t, "GET", address+"/api/admin/tenants", readToken(t, dir))
		if status != 200 || strings.Count(body, `"active"`) != 3 {
			t.Errorf("got %d %s, expected the three demo tenants", status, body)
		}
	}
}

func TestARoleThatMayBypassRowSecurityIsGivenNothing(t *testing.T) {
	server := harness.StartPostgres(t)
	admin, err := sql.Open("pgx", server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if _, err := admin.ExecContext(t.Context(), `CREATE ROLE bypasser LOGIN BYPASSRLS`); err != nil {
		t.Fatal(err)
	}
	o := &operatorShell{t: t, dir: filepath.Join(t.TempDir(), "data")}
	url := fmt.Sprintf("postgres://bypasser@127.0.0.1:%d/postgres?sslmode=disable", server.Port)
	if got := o.do(1, "tenant", "list", "--database-url", url, "--owner-url", server.URL()); !strings.Contains(got, "bypasser") {
		t.Errorf("got %s, expected the role's name", got)
	}
	var tables int
	if err := admin.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`).Scan(&tables); err != nil || tables > 0 {
		t.Errorf("%d tables were made for a role that was refused, %v", tables, err)
	}
}
