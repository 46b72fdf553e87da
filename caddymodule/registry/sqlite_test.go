package registry

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const catalogSQL = `
	CREATE TABLE tenants (
		id TEXT PRIMARY KEY, slug TEXT NOT NULL UNIQUE, name TEXT NOT NULL DEFAULT '', plan TEXT NOT NULL DEFAULT '',
		status TEXT NOT NULL, limits TEXT NOT NULL DEFAULT '', created_at TEXT, updated_at TEXT);
	CREATE TABLE tenant_hosts (host TEXT PRIMARY KEY, slug TEXT NOT NULL, verified INTEGER NOT NULL);`

type sqliteWorld struct {
	path, journal string
	db            *sql.DB
}

func newSQLiteWorld(journal string) func(t *testing.T) world {
	return func(t *testing.T) world {
		w := &sqliteWorld{path: filepath.Join(t.TempDir(), "a b?c#d%41.db"), journal: journal}
		t.Cleanup(w.close)
		return w
	}
}

func (w *sqliteWorld) close() {
	if w.db != nil {
		_ = w.db.Close()
		w.db = nil
	}
}

func (w *sqliteWorld) source(t *testing.T) Source {
	s, err := NewSQLite(w.path, "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// exec writes as another process would: on a connection of its own that stays.
func (w *sqliteWorld) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if w.db == nil {
		w.db = openWritable(t, w.path)
	}
	if _, err := w.db.Exec(query, args...); err != nil {
		t.Fatalf("running %q: %v", query, err)
	}
}

func openWritable(t *testing.T, path string) *sql.DB {
	t.Helper()
	name := strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
	db, err := sql.Open("sqlite", "file:"+name+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	return db
}

func (w *sqliteWorld) put(t *testing.T, records ...Record) {
	t.Helper()
	if w.db == nil {
		w.remove(t)
		w.exec(t, "PRAGMA journal_mode="+w.journal)
		w.exec(t, catalogSQL)
	}
	tx, err := w.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	must := func(query string, args ...any) {
		t.Helper()
		if _, err := tx.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
	must("DELETE FROM tenants")
	must("DELETE FROM tenant_hosts")
	for _, r := range records {
		var created any
		if !r.Created.IsZero() {
			created = r.Created.Format(time.RFC3339)
		}
		must("INSERT INTO tenants (id, slug, name, plan, status, limits, created_at) VALUES (?, ?, ?, ?, coalesce(nullif(?, ''), 'active'), ?, ?)",
			r.ID, r.Slug, r.Name, r.Plan, r.Status, r.Limits, created)
		for _, h := range r.Hosts {
			must("INSERT INTO tenant_hosts VALUES (?, ?, 1)", h, r.Slug)
		}
		must("INSERT INTO tenant_hosts VALUES (?, ?, 0)", "unverified."+r.Slug+".example", r.Slug)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

func (w *sqliteWorld) remove(t *testing.T) {
	w.close()
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(w.path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

func (w *sqliteWorld) spoil(t *testing.T) {
	w.remove(t)
	if err := os.WriteFile(w.path, []byte(strings.Repeat("this is no database. ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSQLiteInWALModeConforms(t *testing.T) {
	t.Parallel()
	conform(t, newSQLiteWorld("wal"))
}
func TestSQLiteInRollbackModeConforms(t *testing.T) {
	t.Parallel()
	conform(t, newSQLiteWorld("delete"))
}

func TestSQLiteIsNeverWrittenToNorCreated(t *testing.T) {
	w := newSQLiteWorld("wal")(t).(*sqliteWorld)
	s := w.source(t)
	defer s.Close()
	refuse(t, s)
	if _, err := os.Stat(w.path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the file was created: %v", err)
	}
	w.put(t, Record{ID: "1", Slug: "acme"})
	for _, query := range []string{
		"DELETE FROM tenants RETURNING slug",
		"INSERT INTO tenants (id, slug, status) VALUES ('2', 'globex', 'active') RETURNING slug",
	} {
		s, err := NewSQLite(w.path, query)
		if err != nil {
			t.Fatal(err)
		}
		refuse(t, s)
		_ = s.Close()
	}
	expect(t, s, Record{ID: "1", Slug: "acme", Status: "active"})
}

func TestSQLiteReadsWhileAWriterHoldsTheDatabaseInWALMode(t *testing.T) {
	w := newSQLiteWorld("wal")(t).(*sqliteWorld)
	w.put(t, Record{ID: "1", Slug: "acme"})
	s := w.source(t)
	defer s.Close()
	w.exec(t, "BEGIN IMMEDIATE")
	w.exec(t, "UPDATE tenants SET name = 'uncommitted'")
	expect(t, s, Record{ID: "1", Slug: "acme", Status: "active"})
	if _, err := s.Load(within(t)); !errors.Is(err, ErrUnchanged) {
		t.Errorf("before the commit: %v", err)
	}
	w.exec(t, "COMMIT")
	expect(t, s, Record{ID: "1", Slug: "acme", Name: "uncommitted", Status: "active"})
}

func TestALockedSQLiteIsAFailureThatPasses(t *testing.T) {
	t.Parallel()
	w := newSQLiteWorld("delete")(t).(*sqliteWorld)
	w.put(t, Record{ID: "1", Slug: "acme"})
	s := w.source(t)
	defer s.Close()
	w.exec(t, "BEGIN EXCLUSIVE")
	refuse(t, s)
	w.exec(t, "COMMIT")
	expect(t, s, Record{ID: "1", Slug: "acme", Status: "active"})
}

func TestAReplacedSQLiteFileIsReadAnew(t *testing.T) {
	w := newSQLiteWorld("delete")(t).(*sqliteWorld)
	other := newSQLiteWorld("delete")(t).(*sqliteWorld)
	w.put(t, Record{ID: "1", Slug: "acme"})
	other.put(t, Record{ID: "2", Slug: "globex"})
	w.close()
	other.close()
	s := w.source(t)
	defer s.Close()
	expect(t, s, Record{ID: "1", Slug: "acme", Status: "active"})

	if err := os.Rename(other.path, w.path); err != nil { // another inode
		t.Fatal(err)
	}
	expect(t, s, Record{ID: "2", Slug: "globex", Status: "active"})

	// The same inode with the same change counter: no pragma tells.
	third := newSQLiteWorld("delete")(t).(*sqliteWorld)
	third.put(t, Record{ID: "3", Slug: "hooli"})
	third.close()
	data, err := os.ReadFile(third.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, s, Record{ID: "3", Slug: "hooli", Status: "active"})
}

func TestATruncatedSQLiteFileIsAFailure(t *testing.T) {
	t.Parallel()
	w := newSQLiteWorld("delete")(t).(*sqliteWorld)
	records := make([]Record, 500)
	for i := range records {
		records[i] = Record{ID: fmt.Sprint(i), Slug: fmt.Sprint("t", i), Name: strings.Repeat("x", 200)}
	}
	w.put(t, records...)
	w.close()
	info, err := os.Stat(w.path)
	if err != nil {
		t.Fatal(err)
	}
	s := w.source(t)
	defer s.Close()
	if err := os.Truncate(w.path, info.Size()/2); err != nil {
		t.Fatal(err)
	}
	refuse(t, s)
	if err := os.Truncate(w.path, 0); err != nil { // an empty file is an empty database
		t.Fatal(err)
	}
	refuse(t, s)
}

func TestSQLiteCatalogsMayBeSmallerThanOurs(t *testing.T) {
	for schema, want := range map[string]Record{
		"CREATE TABLE tenants (slug TEXT); INSERT INTO tenants VALUES ('acme')": {Slug: "acme"},
		"CREATE TABLE tenants (slug TEXT, secret TEXT, hosts TEXT); INSERT INTO tenants VALUES ('acme', 's', 'b.example, a.example')": {
			Slug: "acme", Hosts: []string{"a.example", "b.example"}},
		"CREATE TABLE tenants (slug TEXT, hosts TEXT); INSERT INTO tenants VALUES ('acme', 'a.example'); CREATE TABLE tenant_hosts (slug TEXT, host TEXT); INSERT INTO tenant_hosts VALUES ('acme', 'b.example')": {
			Slug: "acme", Hosts: []string{"b.example"}},
		`CREATE TABLE tenants (slug TEXT); INSERT INTO tenants VALUES ('acme'); CREATE TABLE tenant_hosts (slug TEXT, host TEXT, verified);
			INSERT INTO tenant_hosts VALUES ('acme', 'a.example', 1767355200), ('acme', 'b.example', 'true'), ('acme', 'c.example', 0), ('acme', 'd.example', 'pending'), ('acme', 'e.example', NULL)`: {
			Slug: "acme", Hosts: []string{"a.example", "b.example"}},
		"CREATE TABLE tenants (slug TEXT, created_at TIMESTAMP); INSERT INTO tenants VALUES ('acme', '2026-01-02 12:00:00')": {
			Slug: "acme", Created: noon},
		"CREATE TABLE tenants (slug TEXT, created_at INTEGER); INSERT INTO tenants VALUES ('acme', 1767355200000)": {
			Slug: "acme", Created: noon},
		"CREATE TABLE t (slug TEXT, status TEXT); INSERT INTO t VALUES ('acme', 'purged'); CREATE VIEW tenants AS SELECT * FROM t": {
			Slug: "acme", Status: "purged"},
	} {
		w := newSQLiteWorld("delete")(t).(*sqliteWorld)
		w.exec(t, schema)
		s := w.source(t)
		expect(t, s, want)
		_ = s.Close()
	}
}

func TestAQueryCanBePointedAtSomebodyElsesTable(t *testing.T) {
	w := newSQLiteWorld("wal")(t).(*sqliteWorld)
	w.exec(t, `CREATE TABLE customer (key INTEGER PRIMARY KEY, subdomain TEXT, tier TEXT, blocked INTEGER, domains TEXT);
		INSERT INTO customer VALUES (7, 'acme', 'gold', 0, '["acme.example", "www.acme.example"]'), (8, 'globex', 'free', 1, NULL)`)
	s, err := NewSQLite(w.path, `SELECT key AS id, subdomain AS slug, tier AS plan, domains AS hosts,
		CASE blocked WHEN 1 THEN 'suspended' ELSE 'active' END AS status FROM customer`)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	expect(t, s,
		Record{ID: "7", Slug: "acme", Plan: "gold", Status: "active", Hosts: []string{"acme.example", "www.acme.example"}},
		Record{ID: "8", Slug: "globex", Plan: "free", Status: "suspended"})
}
