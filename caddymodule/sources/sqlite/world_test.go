package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sourcetest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sqlrows"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sqlrows/catalogtest"
)

const catalogSQL = `
	CREATE TABLE tenants (
		id TEXT PRIMARY KEY, slug TEXT NOT NULL UNIQUE, name TEXT NOT NULL DEFAULT '', plan TEXT NOT NULL DEFAULT '',
		status TEXT NOT NULL, limits TEXT NOT NULL DEFAULT '', upstreams TEXT, issuer TEXT, jwks TEXT, created_at TEXT, updated_at TEXT);
	CREATE TABLE tenant_hosts (host TEXT PRIMARY KEY, slug TEXT NOT NULL, verified INTEGER NOT NULL);`

// place is a database that a test writes to as another process would: on a
// connection of its own.
type place struct {
	path, journal string
	db            *sql.DB
}

func newPlace(t *testing.T, journal string) *place {
	p := &place{path: filepath.Join(t.TempDir(), "a b?c#d%41.db"), journal: journal}
	t.Cleanup(p.close)
	return p
}

func (p *place) close() {
	if p.db != nil {
		_ = p.db.Close()
		p.db = nil
	}
}

func (p *place) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if p.db == nil {
		name := strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(p.path)
		db, err := sql.Open("sqlite", "file:"+name+"?_pragma=busy_timeout(10000)&_pragma=journal_mode("+p.journal+")")
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxOpenConns(1)
		p.db = db
	}
	if _, err := p.db.Exec(query, args...); err != nil {
		t.Fatalf("running %q: %v", query, err)
	}
}

func (p *place) put(t *testing.T, records ...registry.Record) {
	t.Helper()
	if p.db == nil {
		p.remove(t)
		p.exec(t, catalogSQL)
	}
	p.exec(t, "BEGIN; DELETE FROM tenants; DELETE FROM tenant_hosts")
	for _, r := range records {
		var created any
		if !r.Created.IsZero() {
			created = r.Created.Format(time.RFC3339)
		}
		p.exec(t, "INSERT INTO tenants VALUES (?, ?, ?, ?, coalesce(nullif(?, ''), 'active'), ?, ?, ?, ?, ?, NULL)",
			r.ID, r.Slug, r.Name, r.Plan, r.Status, r.Limits, strings.Join(r.Upstreams, ","), r.Issuer, r.JWKS, created)
		for _, h := range r.Hosts {
			p.exec(t, "INSERT INTO tenant_hosts VALUES (?, ?, 1)", h, r.Slug)
		}
		p.exec(t, "INSERT INTO tenant_hosts VALUES (?, ?, 0)", "unverified."+r.Slug+".example", r.Slug)
	}
	p.exec(t, "COMMIT")
}

func (p *place) remove(t *testing.T) {
	t.Helper()
	p.close()
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(p.path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

func (p *place) spoil(t *testing.T) {
	t.Helper()
	p.remove(t)
	if err := os.WriteFile(p.path, []byte(strings.Repeat("this is no database. ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func module(t *testing.T, path, query string) *SQLite {
	t.Helper()
	m := &SQLite{Address: path, Query: query}
	if err := m.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	return m
}

func open(t *testing.T, path, query string) registry.Source {
	t.Helper()
	s, err := module(t, path, query).OpenSource()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// openUntilEnd is open for a source that the test does not close.
func openUntilEnd(t *testing.T, path, query string) watched {
	t.Helper()
	c := &catalogtest.Watched{Conn: &conn{path: module(t, path, query).path}}
	s := watched{sqlrows.NewTenants(c, dialect, query), c}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// watched is a source of which it is seen how it reads.
type watched struct {
	*sqlrows.Tenants
	conn *catalogtest.Watched
}

// found loads what has changed, which must be found by reading rows or all.
func (s watched) found(t *testing.T, how string) string {
	t.Helper()
	got := load(t, s)
	if s.conn.Found != how {
		t.Errorf("found by reading %s, want %s", s.conn.Found, how)
	}
	return got
}

// unchanged expects that nothing is found.
func (s watched) unchanged(t *testing.T) {
	t.Helper()
	if _, err := s.Load(within(t)); !errors.Is(err, registry.ErrUnchanged) {
		t.Errorf("got %v, want %v", err, registry.ErrUnchanged)
	}
}

func conform(t *testing.T, journal string) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.World {
		p := newPlace(t, journal)
		return sourcetest.World{
			Open: func(t *testing.T) registry.Source { return open(t, p.path, "") },
			Put:  p.put, Spoil: p.spoil, Remove: p.remove, SaysEmpty: true,
		}
	})
}

func TestSQLiteInWALModeConforms(t *testing.T) {
	t.Parallel()
	conform(t, "wal")
}

func TestSQLiteInRollbackModeConforms(t *testing.T) {
	t.Parallel()
	conform(t, "delete")
}

const patience = 20 * time.Second

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// load reads all records, each in one line.
func load(t *testing.T, s registry.Source) string {
	t.Helper()
	records, err := s.Load(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return describe(records)
}

func describe(records []registry.Record) string {
	var lines []string
	for _, r := range records {
		line := strings.Join([]string{r.ID, r.Slug, r.Name, r.Plan, r.Status, r.Limits, strings.Join(r.Hosts, ",")}, "|")
		if !r.Created.IsZero() {
			line += "|" + r.Created.UTC().Format(time.RFC3339)
		}
		for _, f := range r.Faults {
			line += "|" + f.Field + ": " + f.Err.Error()
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func refuse(t *testing.T, s registry.Source, want string) {
	t.Helper()
	records, err := s.Load(within(t))
	if err == nil || records != nil || !strings.HasPrefix(err.Error(), "reading tenants from sqlite ") || !strings.Contains(err.Error(), want) {
		t.Fatalf("got %v, %v, want an error with %q", records, err, want)
	}
}
