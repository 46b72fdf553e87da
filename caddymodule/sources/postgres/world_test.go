package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/jackc/pgx/v5"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/pgtest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sourcetest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sqlrows"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sqlrows/catalogtest"
)

const schema = `DROP TABLE IF EXISTS tenants, tenant_hosts;
	CREATE TABLE tenants (
		id TEXT PRIMARY KEY, slug TEXT NOT NULL UNIQUE, name TEXT NOT NULL DEFAULT '', plan TEXT NOT NULL DEFAULT '',
		status TEXT NOT NULL, limits TEXT NOT NULL DEFAULT '', upstreams TEXT, issuer TEXT, jwks TEXT, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ);
	CREATE TABLE tenant_hosts (host TEXT PRIMARY KEY, slug TEXT NOT NULL, verified BOOLEAN NOT NULL);`

// place is a database that a test writes to.
type place struct {
	server *pgtest.Server
	down   bool
}

func (p *place) put(t *testing.T, records ...registry.Record) {
	t.Helper()
	if p.down {
		p.server.Start()
		p.down = false
	}
	ctx := within(t)
	conn, err := pgx.Connect(ctx, p.server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		for _, r := range records {
			var created *time.Time
			if !r.Created.IsZero() {
				created = &r.Created
			}
			batch.Queue("INSERT INTO tenants VALUES ($1, $2, $3, $4, coalesce(nullif($5, ''), 'active'), $6, $7, $8, $9, $10)",
				r.ID, r.Slug, r.Name, r.Plan, r.Status, r.Limits, strings.Join(r.Upstreams, ","), r.Issuer, r.JWKS, created)
			for _, h := range r.Hosts {
				batch.Queue("INSERT INTO tenant_hosts VALUES ($1, $2, true)", h, r.Slug)
			}
			batch.Queue("INSERT INTO tenant_hosts VALUES ($1, $2, false)", "unverified."+r.Slug+".example", r.Slug)
		}
		batch.Queue("NOTIFY tenants_changed")
		if _, err := tx.Exec(ctx, schema); err != nil {
			return err
		}
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (p *place) remove(*testing.T) {
	p.server.Kill()
	p.down = true
}

func open(t *testing.T, dsn, query string) registry.Source {
	t.Helper()
	m := &Postgres{Address: dsn, Query: query}
	if err := m.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	s, err := m.OpenSource()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openUntilEnd(t *testing.T, dsn, query string) watched {
	t.Helper()
	m := &Postgres{Address: dsn, Query: query}
	if err := m.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	c := &catalogtest.Watched{Conn: m.open(pollCounted)}
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

func openCredentials(t *testing.T, dsn string) registry.CredentialSource {
	t.Helper()
	m := &Postgres{Address: dsn}
	if err := m.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	s, err := m.OpenCredentials()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestPostgresConforms(t *testing.T) {
	t.Parallel()
	p := &place{server: pgtest.Start(t)}
	sourcetest.Run(t, func(*testing.T) sourcetest.World {
		return sourcetest.World{
			Open: func(t *testing.T) registry.Source { return open(t, p.server.DSN(), "") },
			Put:  p.put, Spoil: func(*testing.T) { p.server.Exec("DROP TABLE IF EXISTS tenants") }, Remove: p.remove, SaysEmpty: true,
		}
	})
}

func TestCredentialsConform(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	catalogtest.Credentials(t, catalogtest.World{
		Open: func(t *testing.T) registry.CredentialSource { return openCredentials(t, server.DSN()) },
		Exec: func(sql string) { server.Exec(sql) },
		Away: server.Kill, Back: server.Start,
	})
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
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
	var lines []string
	for _, r := range records {
		line := fmt.Sprint(r.ID, "|", r.Slug, "|", r.Plan, "|", r.Status, "|", r.Limits, "|", strings.Join(slices.Sorted(slices.Values(r.Hosts)), ","))
		if !r.Created.IsZero() {
			line += "|" + r.Created.UTC().Format(time.RFC3339)
		}
		for _, f := range r.Faults {
			line += "|" + f.Field + ": " + f.Err.Error()
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
