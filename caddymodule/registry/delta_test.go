package registry

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/internal/pgtest"
)

// follow makes each change and compares what the registry has with what somebody
// who reads everything has. It says which changes made the registry do that, too.
func follow(t *testing.T, source func() Source, exec func(string), steps []struct {
	sql  string
	full bool
}) {
	t.Helper()
	r := open(t, source(), nil)
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		exec(step.sql)
		before := r.Stats().FullLoads
		if err := r.Refresh(within(t)); err != nil {
			t.Fatalf("%s: %v", step.sql, err)
		}
		if full := r.Stats().FullLoads > before; full != step.full {
			t.Errorf("%s: read everything: %v", step.sql, full)
		}
		if got, want := dump(r.Snapshot()), readAnew(t, source()); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", step.sql, got, want)
		}
	}
}

// readAnew is what somebody has who reads everything, as [dump] says it.
func readAnew(t *testing.T, source Source) string {
	t.Helper()
	defer func() { _ = source.Close() }()
	records, err := source.Load(within(t))
	if err != nil {
		t.Fatal(err)
	}
	s, _ := newParser(nil).build(emptySnapshot(), records, noon)
	return dump(s)
}

type deltaStep = struct {
	sql  string
	full bool
}

// The default query follows what is written to its tables row by row.
func readsOnlyWhatWasWritten(t *testing.T, server *pgtest.Server) {
	server.Exec("DROP TABLE IF EXISTS tenants, tenant_hosts;" + postgresSchema)
	server.Exec(`INSERT INTO tenants (id, slug, status) SELECT 'id' || i, 't' || i, 'active' FROM generate_series(1, 100) i`)
	server.Exec(`INSERT INTO tenant_hosts SELECT 'h' || i || '.example', 't' || i, true FROM generate_series(1, 40) i`)
	source := func() Source { return postgresAtPace(t, server, "", pace{}) }
	follow(t, source, func(sql string) { server.Exec(sql) }, []deltaStep{
		{"UPDATE tenants SET plan = 'basic' WHERE slug = 't7'", false},
		{"UPDATE tenants SET status = 'suspended' WHERE slug IN ('t8', 't9')", false},
		{"INSERT INTO tenants (id, slug, status) VALUES ('new', 'new', 'active')", false},
		{"INSERT INTO tenant_hosts VALUES ('h41.example', 'new', false)", false},
		{"UPDATE tenant_hosts SET verified = true WHERE slug = 'new'", false},
		{"UPDATE tenant_hosts SET slug = 't2' WHERE host = 'h41.example'", true}, // who lost it was not written
		{"UPDATE tenants SET name = name", false},
		{"CREATE TABLE other (x int); INSERT INTO other VALUES (1)", false},
		{"DELETE FROM tenant_hosts WHERE host = 'h3.example'", true},
		{"DELETE FROM tenants WHERE slug = 't50'", true},
		{"UPDATE tenants SET slug = 'renamed' WHERE slug = 't60'", true},
		{"DO $$ BEGIN FOR i IN 1..20 LOOP BEGIN UPDATE tenants SET name = 'sub' || i WHERE slug = 't' || i; EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$", false},
		{"ALTER TABLE tenants ADD COLUMN hosts text", true},
		{"VACUUM FULL tenants", true},
		{"VACUUM FREEZE tenants", false},
		{"UPDATE tenants SET plan = 'premium' WHERE slug = 't7'", false},
		{"BEGIN; TRUNCATE tenants; INSERT INTO tenants (id, slug, status) SELECT 'x' || i, 't' || i, 'active' FROM generate_series(1, 100) i; COMMIT", true},
		{"INSERT INTO tenants (id, slug, status) VALUES ('bad', 'Bad', 'active')", true},
		{"UPDATE tenants SET plan = 'free' WHERE slug = 't7'", true}, // because of the fault that is there
		{"DELETE FROM tenants WHERE slug = 'Bad'", true},
		{"UPDATE tenants SET plan = 'basic' WHERE slug = 't7'", false},
	})
}

func hearsNotifications(t *testing.T, server *pgtest.Server) {
	server.Exec("DROP TABLE IF EXISTS tenants, tenant_hosts;" + postgresSchema)
	s, err := NewPostgres(server.DSN(), "")
	if err != nil {
		t.Fatal(err)
	}
	r := Open(Options{Source: s, Interval: time.Hour}) // nothing but the notification
	defer r.Close()
	shows := func(slugs string) {
		t.Helper()
		eventually(t, slugs, func() bool { return slugsOf(r.Snapshot()) == slugs })
	}
	listening := func() {
		t.Helper()
		// Told at once, or with the look that follows when listening has begun.
		server.Exec("INSERT INTO tenants (id, slug, status) VALUES ('1', 'acme', 'active'); NOTIFY " + NotifyChannel)
		shows("acme")
		server.Exec("DELETE FROM tenants; NOTIFY " + NotifyChannel)
		shows("")
	}
	listening()
	server.Kill()
	server.Start()
	listening()
}

// A query with a version column is followed by it, in any SQL source.
var versionSteps = []deltaStep{
	{"UPDATE t SET plan = 'basic', version = 11 WHERE slug = 'b'", false},
	{"INSERT INTO t VALUES ('d', 'free', 12)", false},
	{"UPDATE t SET plan = 'premium', version = 13 WHERE slug = 'd'; UPDATE t SET plan = 'premium', version = 14 WHERE slug = 'a'", false},
	{"DELETE FROM t WHERE slug = 'b'", true},
	{"UPDATE t SET slug = 'e', version = 15 WHERE slug = 'a'", true},
	{"DELETE FROM t", true},
	{"INSERT INTO t VALUES ('f', 'free', 1)", true},
	{"INSERT INTO t VALUES ('g', 'free', 2)", false},
}

const (
	versionTable = "CREATE TABLE t (slug TEXT, plan TEXT, version BIGINT); INSERT INTO t VALUES ('a', 'free', 1), ('b', 'free', 2), ('c', 'free', 10)"
	versionQuery = "SELECT slug, plan, version FROM t ;\n"
)

func followsAVersionColumn(t *testing.T, server *pgtest.Server) {
	server.Exec(versionTable)
	follow(t, func() Source { return postgresAtPace(t, server, versionQuery, pace{}) }, func(sql string) { server.Exec(sql) }, versionSteps)
}

func postgresAtPace(t *testing.T, server *pgtest.Server, query string, p pace) Source {
	t.Helper()
	s, err := NewPostgres(server.DSN(), query)
	if err != nil {
		t.Fatal(err)
	}
	s.(*postgres).pace = p
	return s
}

// forEver has a source rest for as long as a test takes.
var forEver = pace{found: 1e6, nothing: 1e6}

const postgresRevisionSQL = `DROP TABLE IF EXISTS tenants, tenant_hosts;
	CREATE TABLE tenants (slug TEXT PRIMARY KEY, plan TEXT, revision BIGINT NOT NULL);
	CREATE TABLE tenant_hosts (host TEXT PRIMARY KEY, slug TEXT, verified BIGINT);
	CREATE TABLE catalog_revision (revision BIGINT); INSERT INTO catalog_revision VALUES (2);
	INSERT INTO tenants VALUES ('a', 'free', 1), ('b', 'free', 2), ('c', 'free', 2);
	INSERT INTO tenant_hosts VALUES ('a.example', 'a', 1)`

// While it rests, a source follows the catalog's revisions, and looks for all that
// was written if somebody notifies.
func followsRevisions(t *testing.T, server *pgtest.Server) {
	server.Exec(postgresRevisionSQL)
	defer server.Exec("DROP TABLE catalog_revision")
	first := true
	follow(t, func() Source {
		if first {
			first = false
			return postgresAtPace(t, server, "", forEver)
		}
		return postgresAtPace(t, server, "", pace{})
	}, func(sql string) { server.Exec(sql) }, []deltaStep{
		{"UPDATE tenants SET plan = 'basic', revision = 3 WHERE slug = 'b'; UPDATE catalog_revision SET revision = 3", false},
		{"INSERT INTO tenants VALUES ('d', 'free', 4); UPDATE catalog_revision SET revision = 4", false},
		{"INSERT INTO tenant_hosts VALUES ('d.example', 'd', 1); UPDATE tenants SET revision = 5 WHERE slug = 'd'; UPDATE catalog_revision SET revision = 5", false},
		{"DELETE FROM tenant_hosts WHERE slug = 'a'; UPDATE tenants SET revision = 6 WHERE slug = 'a'; UPDATE catalog_revision SET revision = 6", false},
		{"CREATE TABLE pets (x int); DROP TABLE pets", false},
		{"UPDATE tenants SET plan = 'gold'; UPDATE catalog_revision SET revision = 1", true},
		{"DELETE FROM catalog_revision", true},
	})

	server.Exec("INSERT INTO catalog_revision VALUES (7); UPDATE tenants SET plan = 'free' WHERE slug = 'c'")
	r := open(t, postgresAtPace(t, server, "", forEver), nil)
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	plan := func(name string) string {
		t.Helper()
		if err := r.Refresh(within(t)); err != nil {
			t.Fatal(err)
		}
		return string(r.Snapshot().BySlug(slug(name)).Plan)
	}
	server.Exec("UPDATE tenants SET plan = 'gold' WHERE slug = 'c'")
	eventually(t, "the look before the rest", func() bool { return plan("c") == "gold" })
	server.Exec("UPDATE tenants SET plan = 'free' WHERE slug = 'a'")
	if got := plan("a"); got != "gold" {
		t.Errorf("a change by hand was looked for while resting: plan %q", got)
	}
	server.Exec("UPDATE tenants SET plan = 'basic', revision = 8 WHERE slug = 'b'; UPDATE catalog_revision SET revision = 8")
	if a, b := plan("a"), plan("b"); a != "gold" || b != "basic" {
		t.Errorf("after a change with a revision, the plans are %q and %q", a, b)
	}
	server.Exec("UPDATE tenants SET plan = 'basic' WHERE slug = 'c'; NOTIFY " + NotifyChannel)
	eventually(t, "what was notified", func() bool { return plan("c") == "basic" && plan("a") == "free" })
	server.Exec("DELETE FROM tenants WHERE slug = 'd'; NOTIFY " + NotifyChannel)
	eventually(t, "the removal", func() bool { return r.Snapshot().BySlug(slug("d")) == nil })
}

// A gateway that may not read the revisions does without.
func doesWithoutRevisions(t *testing.T, server *pgtest.Server) {
	server.Exec(postgresRevisionSQL + "; CREATE ROLE gateway LOGIN; GRANT SELECT ON tenants, tenant_hosts TO gateway")
	defer server.Exec("DROP OWNED BY gateway; DROP ROLE gateway; DROP TABLE catalog_revision")
	s, err := NewPostgres(strings.Replace(server.DSN(), "user=postgres", "user=gateway", 1), "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.(*postgres).pace = pace{}
	if records, err := s.Load(within(t)); err != nil || len(records) != 3 || s.(*postgres).revision.on {
		t.Fatalf("%d records, %v, by revision: %v", len(records), err, s.(*postgres).revision.on)
	}
	server.Exec("UPDATE tenants SET plan = 'basic', revision = 3 WHERE slug = 'b'; UPDATE catalog_revision SET revision = 3")
	if changes, err := s.(*postgres).LoadChanges(within(t)); err != nil || len(changes.Records) != 1 || changes.Tenants != 3 || changes.Hosts != 1 {
		t.Errorf("%+v, %v", changes, err)
	}
}

func TestSQLiteFollowsAVersionColumn(t *testing.T) {
	w := newSQLiteWorld("wal")(t).(*sqliteWorld)
	w.exec(t, versionTable)
	follow(t, func() Source {
		s, err := NewSQLite(w.path, "SELECT slug, plan, version FROM t -- all of them")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}, func(sql string) { w.exec(t, sql) }, versionSteps)
}
