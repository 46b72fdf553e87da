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
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/internal/pgtest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
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

func postgresPlatform(b *testing.B, notify bool) platform {
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
	_, err3 := conn.Exec(ctx, "ANALYZE")
	if err1 != nil || err2 != nil || err3 != nil {
		b.Fatal(err1, err2, err3)
	}
	statement := "UPDATE tenants SET name = '%s' WHERE slug = 'customer-0000000'"
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

func sqlitePlatform(b *testing.B, revisions bool) platform {
	path := filepath.Join(b.TempDir(), "tenants.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(10000)")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	exec := func(query string, args ...any) {
		if _, err := db.Exec(query, args...); err != nil {
			b.Fatal(err)
		}
	}
	exec(catalogSQL)
	exec("BEGIN")
	for _, r := range population(benchTenants) {
		exec("INSERT INTO tenants (id, slug, name, plan, status) VALUES (?, ?, ?, ?, ?)", r.ID, r.Slug, r.Name, r.Plan, r.Status)
		for _, h := range r.Hosts {
			exec("INSERT INTO tenant_hosts VALUES (?, ?, 1)", h, r.Slug)
		}
	}
	exec("COMMIT")
	if revisions {
		exec("ALTER TABLE tenants ADD COLUMN revision BIGINT NOT NULL DEFAULT 1")
		exec("CREATE INDEX tenants_by_revision ON tenants (revision)")
		exec("CREATE TABLE catalog_revision (revision BIGINT)")
		exec("INSERT INTO catalog_revision VALUES (1)")
	}
	return platform{
		source: func() (Source, error) { return NewSQLite(path, "") },
		rename: func(b *testing.B, name string) {
			if !revisions {
				exec("UPDATE tenants SET name = ? WHERE slug = 'customer-0000000'", name)
				return
			}
			exec("BEGIN")
			exec("UPDATE catalog_revision SET revision = revision + 1")
			exec("UPDATE tenants SET name = ?, revision = (SELECT revision FROM catalog_revision) WHERE slug = 'customer-0000000'", name)
			exec("COMMIT")
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

// httpPlatform's feed has a cursor and waits for changes.
func httpPlatform(b *testing.B) platform {
	w := &feedWorld{etag: true, cursor: true, wait: true, news: make(chan struct{})}
	records := population(benchTenants)
	w.set("", records)
	full, err := marshalFeed(map[string]any{"cursor": "1", "tenants": feedRecords(records)})
	if err != nil {
		b.Fatal(err)
	}
	// The deltas are made here, not by comparing states as in the tests.
	var changed []Record
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		tag := fmt.Sprintf(`"%d"`, len(w.states))
		news := w.news
		w.mu.Unlock()
		if r.Header.Get("If-None-Match") == tag {
			select {
			case <-news:
			case <-r.Context().Done():
				return
			}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("ETag", fmt.Sprintf(`"%d"`, len(w.states)))
		if r.URL.Query().Get("cursor") == "" {
			_, _ = rw.Write(full)
			return
		}
		data, _ := marshalFeed(map[string]any{"delta": true, "cursor": "1", "total": benchTenants, "tenants": feedRecords(changed)})
		_, _ = rw.Write(data)
	}))
	b.Cleanup(server.Close)
	return platform{
		source: func() (Source, error) { return NewHTTP(server.URL, HTTPOptions{LongPoll: 30 * time.Second}) },
		rename: func(_ *testing.B, name string) {
			r := records[0]
			r.Name = name
			w.mu.Lock()
			changed = []Record{r}
			w.mu.Unlock()
			w.set("", nil)
		},
	}
}

var platforms = map[string]func(b *testing.B) platform{
	"sqlite":             func(b *testing.B) platform { return sqlitePlatform(b, false) },
	"sqlite, revisions":  func(b *testing.B) platform { return sqlitePlatform(b, true) },
	"postgres, notified": func(b *testing.B) platform { return postgresPlatform(b, true) },
	"postgres, polled":   func(b *testing.B) platform { return postgresPlatform(b, false) },
	"file":               filePlatform,
	"http, long poll":    httpPlatform,
}

// BenchmarkStart is the time from Open to the first snapshot of 100,000 tenants
// with 120,000 hosts.
func BenchmarkStart(b *testing.B) {
	for name, newPlatform := range platforms {
		b.Run(name, func(b *testing.B) {
			p := newPlatform(b)
			defer processorTime(b)()
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

// BenchmarkChange is the time from the commit of one change among 100,000 tenants
// until a reader of the registry sees it.
func BenchmarkChange(b *testing.B) {
	for name, newPlatform := range platforms {
		b.Run(name, func(b *testing.B) {
			p := newPlatform(b)
			r := p.open(b)
			if err := r.WaitFirst(context.Background()); err != nil {
				b.Fatal(err)
			}
			first := slug("customer-0000000")
			var took []time.Duration
			defer processorTime(b)()
			for i := 0; b.Loop(); i++ {
				want := fmt.Sprint("Name ", i)
				p.rename(b, want)
				start := time.Now()
				for r.Snapshot().BySlug(first).Name != want {
					time.Sleep(200 * time.Microsecond)
				}
				took = append(took, time.Since(start))
			}
			report(b, took)
		})
	}
}

// BenchmarkStorm looks tenants up, one every 100 µs, while a writer commits as
// many changes as it can on Postgres. It says how many that were, and how long
// lookups took at worst compared with the same in quiet.
func BenchmarkStorm(b *testing.B) {
	p := postgresPlatform(b, true)
	r := p.open(b)
	if err := r.WaitFirst(context.Background()); err != nil {
		b.Fatal(err)
	}
	for _, storm := range []bool{false, true} {
		b.Run(fmt.Sprintf("storm=%v", storm), func(b *testing.B) {
			stop := make(chan struct{})
			var writer sync.WaitGroup
			changes := 0
			if storm {
				writer.Go(func() {
					tick := time.NewTicker(time.Millisecond)
					defer tick.Stop()
					for {
						select {
						case <-stop:
							return
						case <-tick.C:
							changes++
							p.rename(b, fmt.Sprint("Storm ", changes))
						}
					}
				})
			}
			slugs := make([]tenant.Slug, 1024)
			for i := range slugs {
				slugs[i] = slug(fmt.Sprintf("customer-%07d", i*97))
			}
			var took []time.Duration
			begin := time.Now()
			for i := 0; b.Loop(); i++ {
				start := time.Now()
				if r.Snapshot().BySlug(slugs[i&1023]) == nil {
					b.Fatal("lost")
				}
				took = append(took, time.Since(start))
				time.Sleep(100 * time.Microsecond)
			}
			elapsed := time.Since(begin)
			close(stop)
			writer.Wait()
			report(b, took)
			b.ReportMetric(float64(changes)/elapsed.Seconds(), "changes/s")
			runtime.KeepAlive(r)
		})
	}
}

// processorTime reports the time on the processor, user and system, which unlike
// that on the clock says something on a busy machine as well.
func processorTime(b *testing.B) (done func()) {
	used := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/1e6/float64(b.N), "cpu-ms/op") }
}

func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	for _, p := range []int{50, 99} {
		b.ReportMetric(float64(took[len(took)*p/100].Nanoseconds())/1000, fmt.Sprintf("p%d-µs", p))
	}
}
