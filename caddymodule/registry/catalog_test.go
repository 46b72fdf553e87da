package registry

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/internal/pgtest"
)

// looseCatalogSQL is a catalog that lets everything happen.
const looseCatalogSQL = `CREATE TABLE tenants (id TEXT, slug TEXT, plan TEXT, name TEXT, revision BIGINT NOT NULL DEFAULT 0);
	CREATE TABLE tenant_hosts (host TEXT, slug TEXT, verified BIGINT);
	CREATE TABLE catalog_revision (revision BIGINT); INSERT INTO catalog_revision VALUES (1);
	CREATE TABLE pets (name TEXT)`

// writeToCatalog makes one change of any kind, with a revision or without.
func writeToCatalog(rng *rand.Rand, exec func(sql string)) {
	slug, host := fmt.Sprint("t", rng.IntN(40)), fmt.Sprintf("h%d.example", rng.IntN(50))
	plan := []string{"free", "basic"}[rng.IntN(2)]
	switch kind := rng.IntN(40); {
	case kind < 12:
		exec(fmt.Sprintf("INSERT INTO tenants (id, slug, plan, name) SELECT '%[1]s', '%[1]s', 'free', '%[2]s' WHERE NOT EXISTS (SELECT 1 FROM tenants WHERE slug = '%[1]s')", slug, strings.Repeat("n", rng.IntN(500))))
	case kind < 22:
		exec(fmt.Sprintf("UPDATE tenants SET plan = '%s' WHERE slug = '%s'", plan, slug))
	case kind < 30:
		exec("UPDATE catalog_revision SET revision = revision + 1")
		exec(fmt.Sprintf("UPDATE tenants SET plan = '%s', revision = (SELECT revision FROM catalog_revision) WHERE slug = '%s'", plan, slug))
	case kind < 32:
		exec("INSERT INTO pets VALUES ('Rex')")
	case kind < 36:
		exec(fmt.Sprintf("INSERT INTO tenant_hosts SELECT '%[1]s', '%[2]s', 1 WHERE NOT EXISTS (SELECT 1 FROM tenant_hosts WHERE host = '%[1]s')", host, slug))
	case kind == 36:
		exec(fmt.Sprintf("UPDATE tenant_hosts SET verified = %d, slug = '%s' WHERE host = '%s'", rng.IntN(2), slug, host))
	case kind == 37:
		exec(fmt.Sprintf("DELETE FROM tenant_hosts WHERE host = '%s'", host))
	case kind == 38:
		exec(fmt.Sprintf("DELETE FROM tenants WHERE slug = '%s'", slug))
	default: // faults come and go
		exec("INSERT INTO tenants (id, slug) VALUES ('x', 'Bad')")
	}
	if rng.IntN(10) == 0 {
		exec("DELETE FROM tenants WHERE slug = 'Bad'")
	}
}

// followCatalog has a registry follow a catalog that is written to. A look must
// lead where reading everything leads.
func followCatalog(t *testing.T, seed uint64, rng *rand.Rand, looks int, first Source, p *pace, source func() Source, exec func(sql string)) {
	t.Helper()
	r := open(t, first, nil)
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	for range looks {
		for range rng.IntN(3) {
			writeToCatalog(rng, exec)
		}
		if rng.IntN(3) == 0 { // as far as the revisions go
			rest(p, true)
			if err := r.Refresh(within(t)); err != nil {
				t.Fatal(err)
			}
		}
		rest(p, false)
		if err := r.Refresh(within(t)); err != nil {
			t.Fatal(err)
		}
		if got, want := dump(r.Snapshot()), readAnew(t, source()); got != want {
			t.Fatalf("seed %d: got\n%s\nwant\n%s", seed, got, want)
		}
	}
	_ = r.Close()
	if s := r.Stats(); s.Loads < s.FullLoads+uint64(looks/8) {
		t.Errorf("seed %d: %d of %d loads were full", seed, s.FullLoads, s.Loads)
	}
}

func TestFollowingSQLiteLeadsWhereReadingItLeads(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 9))
		w := newSQLiteWorld([]string{"wal", "delete"}[rng.IntN(2)])(t).(*sqliteWorld)
		w.exec(t, looseCatalogSQL)
		query := []string{"", "SELECT t.id, t.slug, t.plan, t.name, (SELECT group_concat(host) FROM tenant_hosts h WHERE h.slug = t.slug AND verified > 0) AS hosts FROM tenants t"}[rng.IntN(2)]
		source := func() Source {
			s, err := NewSQLite(w.path, query)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		first := source().(*sqlite)
		followCatalog(t, seed, rng, 150, first, &first.pace, source, func(sql string) { w.exec(t, sql) })
	}
}

func followsWhateverIsWritten(t *testing.T, server *pgtest.Server) {
	for seed := range uint64(2) {
		server.Exec("DROP TABLE IF EXISTS tenants, tenant_hosts, catalog_revision, pets;" + looseCatalogSQL)
		rng := rand.New(rand.NewPCG(seed, 10))
		source := func() Source { return postgresAtPace(t, server, "", pace{}) }
		first := source().(*postgres)
		first.listener.close() // it would have the source look when it is not told to
		followCatalog(t, seed, rng, 60, first, &first.pace, source, func(sql string) { server.Exec(sql) })
	}
	server.Exec("DROP TABLE catalog_revision, pets")
}
