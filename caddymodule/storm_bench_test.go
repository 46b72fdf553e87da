package caddymodule_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

const (
	stormTenants = 100_000
	stormRate    = 1000 // changes per second
	stormPhase   = 500 * time.Millisecond
	stormRounds  = 10 // of all phases, in one operation of the benchmark
)

// stormCatalog is a catalog as the bundled backend has it, or without revisions,
// for both kinds of databases. Hosts are 1.2 per tenant.
func stormCatalog(b *testing.B, db *sql.DB, revisions bool) {
	b.Helper()
	numbers := fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d)", stormTenants-1)
	statements := []string{
		"CREATE TABLE tenants (id TEXT PRIMARY KEY, slug TEXT NOT NULL UNIQUE, name TEXT NOT NULL, plan TEXT NOT NULL, status TEXT NOT NULL)",
		"CREATE TABLE tenant_hosts (host TEXT PRIMARY KEY, slug TEXT NOT NULL, verified BIGINT NOT NULL)",
		"CREATE INDEX tenant_hosts_by_slug ON tenant_hosts (slug)",
		"INSERT INTO tenants " + numbers + " SELECT 'id' || i, 'customer-' || i, 'Customer ' || i || ', Inc.', 'free', 'active' FROM n",
		"INSERT INTO tenant_hosts " + numbers + " SELECT 'www.customer-' || i || '.example', 'customer-' || i, 1 FROM n",
		"INSERT INTO tenant_hosts " + numbers + " SELECT 'shop.customer-' || i || '.example', 'customer-' || i, 1 FROM n WHERE i % 5 = 0",
	}
	if revisions {
		statements = append(statements, "ALTER TABLE tenants ADD COLUMN revision BIGINT NOT NULL DEFAULT 1", "CREATE INDEX tenants_by_revision ON tenants (revision)",
			"CREATE TABLE catalog_revision (revision BIGINT)", "INSERT INTO catalog_revision VALUES (1)")
	}
	// And tables of the same kind that the gateway does not read.
	for _, statement := range statements {
		for _, table := range []string{"tenants", "tenant_hosts", "catalog_revision"} {
			statement = strings.ReplaceAll(statement, table, "other_"+table)
		}
		statements = append(statements, statement)
	}
	db.SetMaxOpenConns(1)
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			b.Fatalf("running %q: %v", statement, err)
		}
	}
}

// storm is a writer with a certain number of transactions per second.
type storm struct {
	db        *sql.DB
	statement func(n int) string // each a transaction
	n         int
}

// blow writes until stop is closed, and returns how many changes it made.
func (s *storm) blow(b *testing.B, stop <-chan struct{}) int {
	begin, made := time.Now(), 0
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return made
		case <-tick.C:
		}
		for made < int(time.Since(begin).Seconds()*stormRate) {
			s.n++
			if _, err := s.db.Exec(s.statement(s.n)); err != nil {
				b.Error(err)
				return made
			}
			made++
		}
	}
}

// BenchmarkStorm sends requests through the gateway's handlers while there is
// quiet, while somebody commits 1,000 changes per second to tables of the same kind
// that the gateway does not read, and while somebody commits as many changes to the
// tenants, by turns. What the second costs the requests is the machine's, which the
// writers and the database share; what the third costs beyond that is the gateway's.
func BenchmarkStorm(b *testing.B) {
	renames := func(prefix string, revisions bool, end string) func(int) string {
		return func(n int) string {
			slug := fmt.Sprint("customer-", n*7919%stormTenants)
			if !revisions {
				return fmt.Sprintf("UPDATE %[1]stenants SET name = 'Storm %[2]d' WHERE slug = '%[3]s'", prefix, n, slug) + end
			}
			return fmt.Sprintf("UPDATE %[1]scatalog_revision SET revision = revision + 1; UPDATE %[1]stenants SET name = 'Storm %[2]d', revision = (SELECT revision FROM %[1]scatalog_revision) WHERE slug = '%[3]s'", prefix, n, slug) + end
		}
	}
	for _, revisions := range []bool{false, true} {
		b.Run(fmt.Sprintf("postgres/revisions=%v", revisions), func(b *testing.B) {
			server := harness.StartPostgres(b)
			db, err := sql.Open("pgx", server.URL()+"&default_query_exec_mode=simple_protocol")
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = db.Close() })
			stormCatalog(b, db, revisions)
			blow(b, "source postgres "+server.URL(), storm{db: db, statement: renames("other_", revisions, "; NOTIFY others_changed")}, storm{db: db, statement: renames("", revisions, "; NOTIFY tenants_changed")})
		})
	}
	for _, revisions := range []bool{false, true} {
		b.Run(fmt.Sprintf("sqlite/revisions=%v", revisions), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "tenants.db")
			db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_pragma=busy_timeout(10000)")
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = db.Close() })
			stormCatalog(b, db, revisions)
			statement := func(prefix string) func(int) string {
				if !revisions {
					return renames(prefix, false, "")
				}
				return func(n int) string { return "BEGIN; " + renames(prefix, true, "; COMMIT")(n) }
			}
			blow(b, "source sqlite "+path, storm{db: db, statement: statement("other_")}, storm{db: db, statement: statement("")})
		})
	}
}

func blow(b *testing.B, source string, others, tenants storm) {
	options := strings.Replace(appOptions, "5/1h", "100000000/1h", 1)
	_, plans, _ := strings.Cut(options, "\n\tplan")
	options = source + "\n\tplan" + plans
	newGateway(b, "\n"+options, "tenant host pets.test\ntenant_rate_limit\ntenant_identity\nrespond ok")
	loaded, err := caddy.ActiveContext().App("tenancy")
	if err != nil {
		b.Fatal(err)
	}
	registry := loaded.(*tenancy.App).Registry()
	if err := registry.WaitFirst(b.Context()); err != nil {
		b.Fatal(err)
	}
	loaded, err = caddy.ActiveContext().App("http")
	if err != nil {
		b.Fatal(err)
	}
	serve := loaded.(*caddyhttp.App).Servers["srv0"].ServeHTTP

	requests, took := 0, map[string][]time.Duration{}
	phase := func(name string, s *storm) (changes int) {
		stop, w := make(chan struct{}), &discard{header: make(http.Header)}
		var writer sync.WaitGroup
		if s != nil {
			writer.Go(func() { changes = s.blow(b, stop) })
		}
		for begin := time.Now(); time.Since(begin) < stormPhase; time.Sleep(200 * time.Microsecond) {
			clear(w.header)
			requests++
			r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("http://customer-%d.pets.test/", requests*97%stormTenants), nil)
			start := time.Now()
			serve(w, r)
			took[name] = append(took[name], time.Since(start))
			if w.status != http.StatusOK {
				b.Fatalf("status %d for %s", w.status, r.Host)
			}
		}
		close(stop)
		writer.Wait()
		return changes
	}
	var lags []time.Duration
	changes := 0
	round := func() {
		phase("quiet", nil)
		phase("others", &others)
		changes += phase("storm", &tenants)
		// And the last change is in force soon.
		begin := time.Now()
		name, last := fmt.Sprint("Storm ", tenants.n), tenant.MustSlug(fmt.Sprint("customer-", tenants.n*7919%stormTenants))
		for registry.Snapshot().BySlug(last).Name != name {
			time.Sleep(time.Millisecond)
		}
		lags = append(lags, time.Since(begin))
	}
	for b.Loop() {
		for range stormRounds {
			round()
		}
	}
	b.ReportMetric(0, "ns/op")
	for name, times := range took {
		slices.Sort(times)
		for _, p := range []int{50, 99} {
			b.ReportMetric(float64(times[len(times)*p/100].Nanoseconds())/1000, fmt.Sprintf("%s-p%d-µs", name, p))
		}
	}
	b.ReportMetric(float64(slices.Max(lags).Microseconds())/1000, "max-lag-ms")
	b.ReportMetric(float64(changes)/float64(len(lags))/stormPhase.Seconds(), "changes/s")
}
