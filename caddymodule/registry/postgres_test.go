package registry

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/internal/pgtest"
)

const postgresSchema = `
	CREATE TABLE tenants (
		id TEXT PRIMARY KEY, slug TEXT NOT NULL UNIQUE, name TEXT NOT NULL DEFAULT '', plan TEXT NOT NULL DEFAULT '',
		status TEXT NOT NULL, limits TEXT NOT NULL DEFAULT '', created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ);
	CREATE TABLE tenant_hosts (host TEXT PRIMARY KEY, slug TEXT NOT NULL, verified BOOLEAN NOT NULL);`

type postgresWorld struct {
	server *pgtest.Server
	down   bool
}

func (w *postgresWorld) source(t *testing.T) Source {
	s, err := NewPostgres(w.server.DSN(), "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *postgresWorld) put(t *testing.T, records ...Record) {
	t.Helper()
	if w.down {
		w.server.Start()
		w.down = false
	}
	ctx := within(t)
	conn, err := pgx.Connect(ctx, w.server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "DROP TABLE IF EXISTS tenants, tenant_hosts;"+postgresSchema); err != nil {
			return err
		}
		for _, r := range records {
			var created *time.Time
			if !r.Created.IsZero() {
				created = &r.Created
			}
			if r.Status == "" {
				r.Status = "active"
			}
			if _, err := tx.Exec(ctx, "INSERT INTO tenants VALUES ($1, $2, $3, $4, $5, $6, $7)",
				r.ID, r.Slug, r.Name, r.Plan, r.Status, r.Limits, created); err != nil {
				return err
			}
			for _, h := range r.Hosts {
				if _, err := tx.Exec(ctx, "INSERT INTO tenant_hosts VALUES ($1, $2, true)", h, r.Slug); err != nil {
					return err
				}
			}
			if _, err := tx.Exec(ctx, "INSERT INTO tenant_hosts VALUES ($1, $2, false)", "unverified."+r.Slug+".example", r.Slug); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (w *postgresWorld) spoil(*testing.T) { w.server.Exec("DROP TABLE IF EXISTS tenants") }

func (w *postgresWorld) remove(*testing.T) {
	w.server.Kill()
	w.down = true
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	w := &postgresWorld{server: server}
	t.Run("conforms", func(t *testing.T) {
		conform(t, func(*testing.T) world { return w })
	})
	if w.down {
		server.Start()
	}
	t.Run("a commit under way while the tenants are read is not missed", func(t *testing.T) { neverMissesACommit(t, w) })
	t.Run("other people's types are read", func(t *testing.T) { readsOtherTypes(t, w) })
	t.Run("verified hosts count whatever the column's type", func(t *testing.T) {
		for kind, values := range map[string][2]string{
			"boolean": {"true", "false"}, "bigint": {"1767355200", "0"}, "smallint": {"1", "0"}, "text": {"'true'", "'pending'"}, "varchar(9)": {"'1'", "''"},
		} {
			server.Exec("DROP TABLE IF EXISTS tenants, tenant_hosts; CREATE TABLE tenants (slug text); CREATE TABLE tenant_hosts (slug text, host text, verified " + kind + ")")
			server.Exec("INSERT INTO tenants VALUES ('acme'); INSERT INTO tenant_hosts VALUES ('acme', 'yes.example', " + values[0] + "), ('acme', 'no.example', " + values[1] + "), ('acme', 'null.example', NULL)")
			s := w.source(t)
			expect(t, s, Record{Slug: "acme", Hosts: []string{"yes.example"}})
			_ = s.Close()
		}
	})
	t.Run("only the rows that were written are read", func(t *testing.T) { readsOnlyWhatWasWritten(t, server) })
	t.Run("what is followed is what is there", func(t *testing.T) { followsWhateverIsWritten(t, server) })
	t.Run("revisions are followed, and notifications heeded", func(t *testing.T) { followsRevisions(t, server) })
	t.Run("revisions that may not be read are done without", func(t *testing.T) { doesWithoutRevisions(t, server) })
	t.Run("a notification is heard, and its loss is not felt", func(t *testing.T) { hearsNotifications(t, server) })
	t.Run("a version column is followed", func(t *testing.T) { followsAVersionColumn(t, server) })
	t.Run("a failing query says why", func(t *testing.T) {
		for query, want := range map[string]string{
			"SELECT slug, secret FROM (VALUES ('a', 'b')) t (slug, secret)": `: unknown column "secret": expected some of id, slug, name, plan, status, limits, hosts, upstreams, issuer, jwks, created_at`,
			"SELECT slug, 1 AS extra FROM tenants":                          `: unknown column "extra": expected`,
			"SELECT 'x' AS name":                                            `: column "slug" is missing: expected it and some of id, slug,`,
			"SELECT 'a' AS slug, 'b' AS slug":                               `: column "slug" appears twice`,
			"SELECT slug FROM nowhere":                                      `: ERROR: relation "nowhere" does not exist`,
			"DELETE FROM tenants RETURNING slug":                            `: ERROR: cannot execute DELETE in a read-only transaction`,
			"SELEKT":                                                        `: ERROR: syntax error`,
		} {
			s, err := NewPostgres(server.DSN(), query)
			if err != nil {
				t.Fatal(err)
			}
			w.put(t)
			if _, err := s.Load(within(t)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error = %v", query, err)
			}
			_ = s.Close()
		}
	})
}

// Writers commit all the time. Whatever the last look showed, once they rest one
// more look must show the final state.
func neverMissesACommit(t *testing.T, w *postgresWorld) {
	w.put(t, Record{ID: "1", Slug: "acme", Name: "0"}, Record{ID: "2", Slug: "globex", Name: "0"})
	s := w.source(t)
	defer s.Close()
	latest := map[string]string{}
	look := func() {
		records, err := s.Load(within(t))
		if err != nil && !errors.Is(err, ErrUnchanged) {
			t.Fatal(err)
		}
		for _, r := range records {
			latest[r.Slug] = r.Name
		}
	}
	for range 10 {
		var writers sync.WaitGroup
		for _, slug := range []string{"acme", "globex"} {
			writers.Go(func() {
				conn, err := pgx.Connect(context.Background(), w.server.DSN())
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = conn.Close(context.Background()) }()
				for range 20 {
					if _, err := conn.Exec(context.Background(), "UPDATE tenants SET name = (name::int + 1)::text WHERE slug = $1", slug); err != nil {
						t.Error(err)
					}
				}
			})
		}
		done := make(chan struct{})
		go func() { writers.Wait(); close(done) }()
		for running := true; running; {
			select {
			case <-done:
				running = false
			default:
			}
			look()
		}
	}
	if latest["acme"] != "200" || latest["globex"] != "200" {
		t.Errorf("after 200 updates each, the last look showed %v", latest)
	}
}

func readsOtherTypes(t *testing.T, w *postgresWorld) {
	s, err := NewPostgres(w.server.DSN(), `SELECT * FROM (VALUES
		('00112233-4455-6677-8899-aabbccddeeff'::uuid, 'acme'::varchar(20), ARRAY['a.example', 'b.example'], now() - now() + '2026-01-02 12:00Z'::timestamptz),
		(NULL, 'globex', NULL, NULL)) AS t (id, slug, hosts, created_at)`)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w.put(t)
	expect(t, s,
		Record{ID: "00112233-4455-6677-8899-aabbccddeeff", Slug: "acme", Hosts: []string{"a.example", "b.example"}, Created: noon},
		Record{Slug: "globex"})

	s2, err := NewPostgres(w.server.DSN(), `SELECT 7::smallint AS id, 'acme' AS slug, '["a.example"]'::jsonb AS hosts, true AS plan`)
	if err != nil {
		t.Fatal(err)
	}
	defer s2.Close()
	records, err := s2.Load(within(t))
	if err != nil || len(records) != 1 || records[0].ID != "7" || len(records[0].Hosts) != 1 ||
		records[0].Err == nil || records[0].Err.Error() != `reading field "plan": expected text, found a boolean` {
		t.Errorf("got %+v, %v", records, err)
	}
}

func TestPostgresNeverShowsItsPassword(t *testing.T) {
	for _, dsn := range []string{
		"postgres://user:s3cret@127.0.0.1:1/db?connect_timeout=1",
		"host=127.0.0.1 port=1 user=user password=s3cret dbname=db",
	} {
		s, err := NewPostgres(dsn, "")
		if err != nil {
			t.Fatal(err)
		}
		if s.String() != "postgres 127.0.0.1:1/db" {
			t.Errorf("named %q", s)
		}
		_, err = s.Load(within(t))
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("error = %v", err)
		}
	}
	for _, dsn := range []string{
		"", "postgres://user:s3cret@host:port/db", "postgres://user:s3cret@[::1/db", "host=x password='s3cret", "host=h user=x password=s3cret sslmode=never", "://user:s3cret@h",
	} {
		if _, err := NewPostgres(dsn, ""); err == nil || strings.Contains(err.Error(), "s3cret") || !strings.HasPrefix(err.Error(), "reading postgres source: expected a DSN") {
			t.Errorf("NewPostgres(%q) error = %v", dsn, err)
		}
	}
}
