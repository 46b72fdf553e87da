package sqlite

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

func TestCatalogsMayBeSmallerThanOurs(t *testing.T) {
	for name, test := range map[string]struct{ schema, want string }{
		"a slug": {"CREATE TABLE tenants (slug TEXT); INSERT INTO tenants VALUES ('acme')", "|acme|||||"},
		"hosts in a column": {
			"CREATE TABLE tenants (slug TEXT, secret TEXT, hosts TEXT); INSERT INTO tenants VALUES ('acme', 's', 'a.example, b.example')",
			"|acme|||||a.example,b.example"},
		"hosts in both": {
			"CREATE TABLE tenants (slug TEXT, hosts TEXT); INSERT INTO tenants VALUES ('acme', 'a.example'); CREATE TABLE tenant_hosts (slug TEXT, host TEXT); INSERT INTO tenant_hosts VALUES ('acme', 'b.example')",
			"|acme|||||b.example"},
		"verified in any form": {`CREATE TABLE tenants (slug TEXT); INSERT INTO tenants VALUES ('acme'); CREATE TABLE tenant_hosts (slug TEXT, host TEXT, verified);
			INSERT INTO tenant_hosts VALUES ('acme', 'a.example', 1767355200), ('acme', 'b.example', 'true'), ('acme', 'c.example', 0), ('acme', 'd.example', 'pending'), ('acme', 'e.example', NULL)`,
			"|acme|||||a.example,b.example"},
		"a time as text": {
			"CREATE TABLE tenants (slug TEXT, created_at TIMESTAMP); INSERT INTO tenants VALUES ('acme', '2026-01-02 12:00:00')",
			"|acme||||||2026-01-02T12:00:00Z"},
		"a time in milliseconds": {
			"CREATE TABLE tenants (slug TEXT, created_at INTEGER); INSERT INTO tenants VALUES ('acme', 1767355200000)",
			"|acme||||||2026-01-02T12:00:00Z"},
		"a view": {
			"CREATE TABLE t (slug TEXT, status TEXT); INSERT INTO t VALUES ('acme', 'purged'); CREATE VIEW tenants AS SELECT * FROM t",
			"|acme|||purged||"},
		"ids that are numbers, limits in a JSON list": {
			`CREATE TABLE tenants (id NUMERIC(10,0), slug TEXT, limits TEXT); INSERT INTO tenants VALUES (7, 'acme', '["200/1h", "10/1s"]')`,
			"7|acme||||200/1h 10/1s|"},
		// The catalog's times have one unit, however early or late they are.
		"a time of the bundled catalog": {
			`CREATE TABLE tenants (slug TEXT, created_at BIGINT); INSERT INTO tenants VALUES ('acme', 86400000000);
			CREATE TABLE catalog_revision (revision BIGINT); INSERT INTO catalog_revision VALUES (1)`,
			"|acme||||||1970-01-02T00:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, "delete")
			p.exec(t, test.schema)
			if got := load(t, openUntilEnd(t, p.path, "")); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestAQueryCanBePointedAtSomebodyElsesTable(t *testing.T) {
	p := newPlace(t, "wal")
	p.exec(t, `CREATE TABLE customer (key INTEGER PRIMARY KEY, subdomain TEXT, tier TEXT, blocked INTEGER, domains TEXT);
		INSERT INTO customer VALUES (7, 'acme', 'gold', 0, '["acme.example", "www.acme.example"]'), (8, 'globex', 'free', 1, NULL)`)
	got := load(t, openUntilEnd(t, p.path, `SELECT key AS id, subdomain AS slug, tier AS plan, domains AS hosts, 5 AS version,
		CASE blocked WHEN 1 THEN 'suspended' ELSE 'active' END AS status FROM customer`))
	if want := "7|acme||gold|active||acme.example,www.acme.example\n8|globex||free|suspended||"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Only commits have the tables read, and all of those that nobody counts.
func TestWhatNobodyCountsIsReadAfterACommitOnly(t *testing.T) {
	p := newPlace(t, "wal")
	p.put(t, registry.Record{ID: "1", Slug: "acme"})
	s := openUntilEnd(t, p.path, "")
	load(t, s)
	for range 3 {
		s.unchanged(t)
	}
	p.exec(t, "CREATE TABLE pets (name TEXT)")
	s.found(t, "all")
	s.unchanged(t)
}

var update = flag.Bool("update", false, "write the messages of testdata/mistakes anew")

// Every mistake has a fixture, and beside it what is said about it: the error if
// nothing could be read, else the tenants that are served and the problems.
func TestEveryMistakeIsNamed(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/mistakes/*.sql")
	if err != nil || len(paths) < 15 {
		t.Fatalf("found %d mistakes, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			script, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			p := newPlace(t, "delete")
			p.exec(t, string(script))
			query := ""
			if line, _, _ := strings.Cut(string(script), "\n"); strings.HasPrefix(line, "-- query: ") {
				query = strings.TrimPrefix(line, "-- query: ")
			}
			got := outcome(t, open(t, p.path, query)) + "\n"
			want, err := os.ReadFile(path + ".want")
			if *update {
				want, err = []byte(got), os.WriteFile(path+".want", []byte(got), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func outcome(t *testing.T, s registry.Source) string {
	t.Helper()
	r := registry.Open(registry.Options{Source: s, Interval: time.Hour})
	defer func() { _ = r.Close() }()
	if err := r.Refresh(within(t)); err != nil {
		_, cause, _ := strings.Cut(err.Error(), ".db: ") // after the path
		return "error: " + cause
	}
	var slugs []string
	for tenant := range r.Snapshot().All() {
		slugs = append(slugs, tenant.Slug.String())
	}
	lines := []string{"served: " + strings.Join(slugs, " ")}
	for _, p := range r.Snapshot().Problems() {
		line := p.String()
		if !p.Skipped {
			line += " (served)"
		}
		lines = append(lines, line)
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}
