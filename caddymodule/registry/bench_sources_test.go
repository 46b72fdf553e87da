package registry

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/internal/pgtest"
)

// platform is a source with many tenants of which one can be renamed.
type platform struct {
	source func() (Source, error)
	// rename commits a new name for the tenant "customer-0000000".
	rename func(b *testing.B, name string)
}

func (p platform) open(b *testing.B) *Registry {
	b.Helper()
	s, err := p.source()
	if err != nil {
		b.Fatal(err)
	}
	r := Open(Options{Source: s, Timeout: 5 * time.Minute})
	b.Cleanup(func() { _ = r.Close() })
	return r
}

const benchTenants = 100_000

// postgresPlatform's writer may notify, or leave a revision as the bundled
// backend does.
func postgresPlatform(b *testing.B, notify, revisions bool) platform {
	server := pgtest.Start(b)
	server.Exec(postgresSchema)
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, server.DSN())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(ctx) })
	var tenants, hosts [][]any
	for _, r := range population(benchTenants) {
		tenants = append(tenants, []any{r.ID, r.Slug, r.Name, r.Plan, r.Status})
		for _, h := range r.Hosts {
			hosts = append(hosts, []any{h, r.Slug, true})
		}
	}
	_, err1 := conn.CopyFrom(ctx, pgx.Identifier{"tenants"}, []string{"id", "slug", "name", "plan", "status"}, pgx.CopyFromRows(tenants))
	_, err2 := conn.CopyFrom(ctx, pgx.Identifier{"tenant_hosts"}, []string{"host", "slug", "verified"}, pgx.CopyFromRows(hosts))
	if err1 != nil || err2 != nil {
		b.Fatal(err1, err2)
	}
	server.Exec("CREATE INDEX ON tenant_hosts (slug)")
	statement := "UPDATE tenants SET name = '%s' WHERE slug = 'customer-0000000'"
	if revisions {
		server.Exec(revisionsSQL)
		statement = "UPDATE catalog_revision SET revision = revision + 1; UPDATE tenants SET name = '%s', revision = (SELECT revision FROM catalog_revision) WHERE slug = 'customer-0000000'"
	}
	server.Exec("VACUUM ANALYZE")
	if notify {
		statement += "; NOTIFY " + NotifyChannel
	}
	return platform{
		source: func() (Source, error) { return NewPostgres(server.DSN(), "") },
		rename: func(b *testing.B, name string) {
			if _, err := conn.Exec(ctx, fmt.Sprintf(statement, name)); err != nil {
				b.Fatal(err)
			}
		},
	}
}

const revisionsSQL = `ALTER TABLE tenants ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
	CREATE INDEX tenants_by_revision ON tenants (revision);
	CREATE TABLE catalog_revision (revision BIGINT);
	INSERT INTO catalog_revision VALUES (1)`

// sqlitePlatform's catalog may have revisions, and its writer leave one, or change
// the catalog by hand while somebody else writes to the same file all the time. Or
// the catalog is read by a query.
func sqlitePlatform(b *testing.B, revisions, byHand bool, query string) platform {
	path := filepath.Join(b.TempDir(), "tenants.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(10000)")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	exec := func(query string, args ...any) {
		if _, err := db.Exec(query, args...); err != nil {
			b.Error(err)
		}
	}
	exec(catalogSQL + "CREATE INDEX tenant_hosts_by_slug ON tenant_hosts (slug); CREATE TABLE pets (name TEXT)")
	exec("BEGIN")
	for _, r := range population(benchTenants) {
		exec("INSERT INTO tenants (id, slug, name, plan, status) VALUES (?, ?, ?, ?, ?)", r.ID, r.Slug, r.Name, r.Plan, r.Status)
		for _, h := range r.Hosts {
			exec("INSERT INTO tenant_hosts VALUES (?, ?, 1)", h, r.Slug)
		}
	}
	exec("COMMIT")
	if revisions {
		exec(revisionsSQL)
	}
	if byHand {
		stop := make(chan struct{})
		var pets sync.WaitGroup
		pets.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
					exec("INSERT INTO pets VALUES ('Rex')")
				}
			}
		})
		b.Cleanup(func() { close(stop); pets.Wait() }) // before the database is closed
	}
	return platform{
		source: func() (Source, error) { return NewSQLite(path, query) },
		rename: func(_ *testing.B, name string) {
			if !revisions || byHand {
				exec("UPDATE tenants SET name = ? WHERE slug = 'customer-0000000'", name)
				return
			}
			exec("BEGIN; UPDATE catalog_revision SET revision = revision + 1;"+
				"UPDATE tenants SET name = ?, revision = (SELECT revision FROM catalog_revision) WHERE slug = 'customer-0000000'; COMMIT", name)
		},
	}
}

// filePlatform's writer changes the text in place, so that its own work does not
// count.
func filePlatform(b *testing.B) platform {
	path := filepath.Join(b.TempDir(), "tenants.json")
	data, err := marshalFeed(map[string]any{"tenants": feedRecords(population(benchTenants))})
	if err != nil {
		b.Fatal(err)
	}
	begin := bytes.Index(data, []byte(`"Customer 0, Inc."`))
	head, tail := data[:begin], data[begin+len(`"Customer 0, Inc."`):]
	rename := func(b *testing.B, name string) {
		text := append(append(append(make([]byte, 0, len(data)+64), head...), fmt.Sprintf("%q", name)...), tail...)
		if err := os.WriteFile(path+".new", text, 0o600); err != nil {
			b.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			b.Fatal(err)
		}
	}
	rename(b, "first")
	return platform{func() (Source, error) { return NewFile(path) }, rename}
}

// httpPlatform's feed waits for changes. It has a cursor, or sends everything.
func httpPlatform(b *testing.B, cursor bool) platform {
	records := population(benchTenants)
	whole := map[string]any{"tenants": feedRecords(records)}
	if cursor {
		whole["cursor"] = "1"
	}
	text, err := marshalFeed(whole)
	if err != nil {
		b.Fatal(err)
	}
	var mu sync.Mutex
	version, news, current, delta := 0, make(chan struct{}), text, []byte(nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		tag, wait := fmt.Sprintf(`"%d"`, version), news
		mu.Unlock()
		if r.Header.Get("If-None-Match") == tag {
			select {
			case <-wait:
			case <-r.Context().Done():
				return
			}
		}
		mu.Lock()
		answer := current
		if r.URL.Query().Get("cursor") != "" {
			answer = delta
		}
		tag = fmt.Sprintf(`"%d"`, version)
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("ETag", tag)
		_, _ = w.Write(answer)
	}))
	b.Cleanup(server.Close)
	return platform{
		source: func() (Source, error) { return NewHTTP(server.URL, HTTPOptions{LongPoll: 30 * time.Second}) },
		rename: func(b *testing.B, name string) {
			first := records[0]
			first.Name = name
			changed, err := marshalFeed(map[string]any{"delta": true, "cursor": "1", "total": benchTenants, "tenants": feedRecords([]Record{first})})
			if err != nil {
				b.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			version++
			if delta = changed; !cursor {
				current = bytes.Replace(text, []byte(`"Customer 0, Inc."`), fmt.Appendf(nil, "%q", name), 1)
			}
			close(news)
			news = make(chan struct{})
		},
	}
}

var platforms = []struct {
	name string
	make func(b *testing.B) platform
}{
	{"postgres, notified", func(b *testing.B) platform { return postgresPlatform(b, true, false) }},
	{"postgres, looks only", func(b *testing.B) platform { return postgresPlatform(b, false, false) }},
	{"postgres, catalog with revisions, notified", func(b *testing.B) platform { return postgresPlatform(b, true, true) }},
	{"postgres, catalog with revisions, looks only", func(b *testing.B) platform { return postgresPlatform(b, false, true) }},
	{"sqlite, catalog with revisions", func(b *testing.B) platform { return sqlitePlatform(b, true, false, "") }},
	{"sqlite, the same by hand, busy", func(b *testing.B) platform { return sqlitePlatform(b, true, true, "") }},
	{"sqlite, tables", func(b *testing.B) platform { return sqlitePlatform(b, false, false, "") }},
	{"sqlite, query", func(b *testing.B) platform {
		return sqlitePlatform(b, false, false, "SELECT id, slug, name, plan, status FROM tenants")
	}},
	{"file (JSON)", filePlatform},
	{"http, long poll, cursor", func(b *testing.B) platform { return httpPlatform(b, true) }},
	{"http, long poll, everything", func(b *testing.B) platform { return httpPlatform(b, false) }},
}

// BenchmarkStart is the time from Open to the first snapshot of 100,000 tenants
// with 120,000 hosts.
func BenchmarkStart(b *testing.B) {
	for _, kind := range platforms {
		b.Run(kind.name, func(b *testing.B) {
			p := kind.make(b)
			defer func(done func(int)) { done(b.N) }(processorTime(b))
			for b.Loop() {
				r := p.open(b)
				if err := r.WaitFirst(context.Background()); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if r.Snapshot().Len() != benchTenants {
					b.Fatal(r.Snapshot().Len())
				}
				_ = r.Close()
				b.StartTimer()
			}
		})
	}
}

// changesPerOp is how many changes make one of the benchmark's operations, so that
// there are enough for a percentile.
const changesPerOp = 50

// BenchmarkChange is the time from the commit of one change among 100,000 tenants
// until a reader of the registry sees it.
func BenchmarkChange(b *testing.B) {
	for _, kind := range platforms {
		b.Run(kind.name, func(b *testing.B) {
			p := kind.make(b)
			r := p.open(b)
			if err := r.WaitFirst(context.Background()); err != nil {
				b.Fatal(err)
			}
			first := slug("customer-0000000")
			var took []time.Duration
			defer func(done func(int)) { done(len(took)) }(processorTime(b))
			for b.Loop() {
				for range changesPerOp {
					want := fmt.Sprint("Name ", len(took))
					p.rename(b, want)
					start := time.Now()
					for r.Snapshot().BySlug(first).Name != want {
						time.Sleep(200 * time.Microsecond)
					}
					took = append(took, time.Since(start))
				}
			}
			slices.Sort(took)
			b.ReportMetric(0, "ns/op")
			for _, p := range []int{50, 99} {
				b.ReportMetric(float64(took[len(took)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
			}
		})
	}
}

// processorTime reports the time on the processor, user and system, which unlike
// that on the clock says something on a busy machine as well.
func processorTime(b *testing.B) (done func(n int)) {
	used := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	before := used()
	return func(n int) { b.ReportMetric(float64(used()-before)/1e6/float64(n), "cpu-ms") }
}
