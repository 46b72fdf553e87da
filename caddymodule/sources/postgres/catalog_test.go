package postgres

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/pgtest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sqlrows/catalogtest"
)

const acme = "INSERT INTO tenants (id, slug, skeleton, name, plan, status, isolation, created_at, updated_at) VALUES ('1', 'acme', 'acme', '', 'free', 'active', 'shared', 1, 1);"

func bundled(t *testing.T) *pgtest.Server {
	t.Helper()
	server := pgtest.Start(t)
	server.Exec(catalogtest.Schema(t, "postgres", ""))
	return server
}

func TestWhoeverWritesToTheCatalogIsFoundByItsNumber(t *testing.T) {
	t.Parallel()
	server := bundled(t)
	server.Exec("CREATE ROLE clerk LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON tenants, tenant_hosts TO clerk")
	catalogtest.AnyWriter(t, func(t *testing.T) (registry.Source, *catalogtest.Watched) {
		s := openUntilEnd(t, server.DSN(), "")
		return s, s.conn
	},
		func(sql string) { server.Exec(sql) },
		[2]string{"a role that may not write to the counter", "SET ROLE clerk; UPDATE tenants SET plan = 'clerks' WHERE slug = 'tenant-1'"},
		[2]string{"a host of that role's", "SET ROLE clerk; INSERT INTO tenant_hosts VALUES ('d.example', 'tenant-2', 1, 1)"},
		[2]string{"another search path", "SET search_path = pg_catalog; UPDATE public.tenants SET plan = 'far' WHERE slug = 'tenant-2'"},
		[2]string{"a table in the way", "CREATE TEMP TABLE catalog_revision (one int, revision bigint); UPDATE tenants SET plan = 'near' WHERE slug = 'tenant-2'"},
		[2]string{"an upsert", "INSERT INTO tenant_hosts VALUES ('b.example', 'tenant-1', 1, 1) ON CONFLICT (host) DO UPDATE SET slug = excluded.slug"},
		[2]string{"what is taken back in part", "BEGIN; SAVEPOINT s; UPDATE tenants SET plan = 'no'; ROLLBACK TO s; UPDATE tenants SET plan = 'yes' WHERE slug = 'tenant-3'; COMMIT"},
		[2]string{"all hosts at once", "TRUNCATE tenant_hosts"},
		[2]string{"everything at once", "TRUNCATE tenants CASCADE"},
	)
}

func TestWhoeverChangesCredentialsIsFoundByTheirNumber(t *testing.T) {
	t.Parallel()
	server := bundled(t)
	catalogtest.AnyCredentialWriter(t, openCredentials(t, server.DSN()), func(sql string) { server.Exec(sql) })
}

// Two transactions write at one time, and the one that began last commits first. Of a
// number that is taken at the beginning and seen at the end, the first would be
// missed: the second waits instead.
func TestCommitsOutOfOrderAreNotMissed(t *testing.T) {
	t.Parallel()
	server := bundled(t)
	server.Exec(acme + strings.ReplaceAll(strings.Replace(acme, "'1'", "'2'", 1), "acme", "globex"))
	s := openUntilEnd(t, server.DSN(), "")
	load(t, s)
	ctx := within(t)
	var txs [2]pgx.Tx
	for i := range txs {
		conn, err := pgx.Connect(ctx, server.DSN())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(ctx) }()
		if txs[i], err = conn.Begin(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := txs[0].Exec(ctx, "UPDATE tenants SET plan = 'one' WHERE slug = 'acme'"); err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() {
		_, err := txs[1].Exec(ctx, "UPDATE tenants SET plan = 'two' WHERE slug = 'globex'")
		second <- errors.Join(err, txs[1].Commit(ctx))
	}()
	s.unchanged(t)
	if err := txs[0].Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	records, err := s.Load(ctx)
	for _, r := range records {
		found[r.Slug] = r.Plan
	}
	if found["acme"] != "one" || found["globex"] != "two" || s.conn.Found != "rows" {
		t.Errorf("found %v by reading %s, %v", found, s.conn.Found, err)
	}
}

// Writers commit all the time, and a source follows. Once they rest, what it found
// must be what is there.
func follows(t *testing.T, primary, read string) {
	t.Helper()
	s := openUntilEnd(t, read, "")
	plans := map[string]string{}
	poll := func() (changed bool) {
		records, err := s.Load(within(t))
		if err != nil && !errors.Is(err, registry.ErrUnchanged) {
			t.Fatal(err)
		}
		for _, r := range records {
			plans[r.Slug] = r.Plan
		}
		return err == nil
	}
	var writers sync.WaitGroup
	for _, slug := range []string{"acme", "globex"} {
		writers.Go(func() {
			conn, err := pgx.Connect(t.Context(), primary)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = conn.Close(t.Context()) }()
			for range 60 {
				if _, err := conn.Exec(t.Context(), "UPDATE tenants SET plan = (plan::int + 1)::text WHERE slug = $1", slug); err != nil {
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
		poll()
	}
	for begin := time.Now(); plans["acme"] != "60" || plans["globex"] != "60"; {
		if !poll() && time.Since(begin) > 20*time.Second {
			t.Fatalf("found %v, want 60 each", plans)
		}
	}
}

func TestNoCommitIsMissedNorOnAStandby(t *testing.T) {
	t.Parallel()
	server := bundled(t)
	two := strings.ReplaceAll(acme+strings.ReplaceAll(strings.Replace(acme, "'1'", "'2'", 1), "acme", "globex"), "'free'", "'0'")
	server.Exec(two)
	t.Run("primary", func(t *testing.T) { follows(t, server.DSN(), server.DSN()) })
	server.Exec("UPDATE tenants SET plan = '0'")
	standby := server.Standby()
	t.Run("standby", func(t *testing.T) { follows(t, server.DSN(), standby.DSN()) })

	// Nobody can listen there, and a refresh reads all the same.
	r := registry.Open(registry.Options{Source: open(t, standby.DSN(), ""), Interval: time.Hour})
	defer func() { _ = r.Close() }()
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	server.Exec("UPDATE tenants SET status = 'suspended'")
	for begin := time.Now(); ; {
		if err := r.Refresh(within(t)); err != nil {
			t.Fatal(err)
		}
		suspended := 0
		for tenant := range r.Snapshot().All() {
			if tenant.Status.String() == "suspended" {
				suspended++
			}
		}
		if suspended == 2 {
			break
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatal("the refreshes do not show what the standby has")
		}
	}
}

func TestAnOlderCatalogIsReadAsAWhole(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	server.Exec(catalogtest.Schema(t, "postgres", "00008"))
	server.Exec(strings.Replace(strings.Replace(acme, "updated_at)", "updated_at, revision)", 1), "1, 1)", "1, 1, 1)", 1))
	s := openUntilEnd(t, server.DSN(), "")
	load(t, s)
	s.found(t, "all")
}

// The counter is no reason to read nothing where it may not be read.
func TestACounterThatMayNotBeReadIsDoneWithout(t *testing.T) {
	t.Parallel()
	server := bundled(t)
	server.Exec(acme + "CREATE ROLE reader LOGIN; GRANT SELECT ON tenants, tenant_hosts TO reader")
	s := openUntilEnd(t, strings.Replace(server.DSN(), "user=postgres", "user=reader", 1), "")
	if got := load(t, s); !strings.HasPrefix(got, "1|acme|") {
		t.Errorf("got %s", got)
	}
	s.found(t, "all")
}

// A server that took over from another may have counted as far, and have written
// something else meanwhile.
func TestAnotherServersCountIsNotTaken(t *testing.T) {
	t.Parallel()
	server := bundled(t)
	server.Exec(acme)
	s := openUntilEnd(t, server.DSN(), "")
	load(t, s)
	s.unchanged(t)
	server.Kill()
	server.Start()
	s.found(t, "all")
}

// Row-level security without a policy for the role shows an empty table.
func TestATableWhoseRowsAreHiddenIsNotMeantToBeEmpty(t *testing.T) {
	t.Parallel()
	server := bundled(t)
	server.Exec(acme + "CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
	dsn := strings.Replace(server.DSN(), "user=postgres", "user=reader", 1)
	for _, query := range []string{"", "SELECT slug FROM tenants"} {
		t.Run(query, func(t *testing.T) {
			server.Exec("ALTER TABLE tenants ENABLE ROW LEVEL SECURITY")
			s := openUntilEnd(t, dsn, query)
			if got := load(t, s); got != "" || s.EmptyIsMeant() {
				t.Errorf("hidden: got %q, and it is meant", got)
			}
			server.Exec("ALTER TABLE tenants DISABLE ROW LEVEL SECURITY; CREATE TABLE held AS SELECT * FROM tenants; DELETE FROM tenants")
			if got := load(t, s); got != "" || !s.EmptyIsMeant() {
				t.Errorf("empty: got %q, and it is not meant", got)
			}
			server.Exec("INSERT INTO tenants SELECT * FROM held; DROP TABLE held")
		})
	}
}

func TestAChangeOfTheCatalogIsInForceAtOnce(t *testing.T) {
	t.Parallel()
	server := bundled(t)
	server.Exec(acme)
	for name, interval := range map[string]time.Duration{"notified": time.Hour, "polled": 0} {
		t.Run(name, func(t *testing.T) {
			s := open(t, server.DSN(), "")
			if name == "polled" {
				s = struct{ registry.Source }{s} // no Notifier
				interval = 100 * time.Millisecond
			}
			r := registry.Open(registry.Options{Source: s, Interval: interval})
			defer func() { _ = r.Close() }()
			if err := r.WaitFirst(within(t)); err != nil {
				t.Fatal(err)
			}
			for _, plan := range []string{"one", "two", "three"} {
				server.Exec("UPDATE tenants SET plan = '" + plan + "'")
				for begin := time.Now(); ; time.Sleep(time.Millisecond) { // between two looks at a condition
					found := ""
					for tenant := range r.Snapshot().All() {
						found = string(tenant.Plan)
					}
					if found == plan {
						break
					}
					if time.Since(begin) > 20*time.Second {
						t.Fatalf("plan %s is not in force", plan)
					}
				}
			}
		})
	}
}
