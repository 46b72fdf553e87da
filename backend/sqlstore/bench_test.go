package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// BenchmarkPlaces measures what docs/isolation.md shows, for each engine,
// strategy and number of tenants. Run it with -benchtime 1x: one pass sets the
// tenants up, brings them from the version before the newest to the newest,
// and then reads and writes at random tenants.
//
//	go test ./backend/sqlstore -run '^$' -bench 'Places/.*/tenants-100$' -benchtime 1x
func BenchmarkPlaces(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		for _, i := range petstore.Isolations {
			b.Run(fmt.Sprintf("sqlite-%s/tenants-%d", i, n), func(b *testing.B) {
				measure(b, sqliteStore(b, i), i, n)
			})
			b.Run(fmt.Sprintf("postgres-%s/tenants-%d", i, n), func(b *testing.B) {
				measure(b, startPostgres(b).open(b, i), i, n)
			})
		}
	}
}

func measure(b *testing.B, s *Store, i petstore.Isolation, n int) {
	ctx := b.Context()
	slugs := make([]tenant.Slug, n)
	for k := range slugs {
		slugs[k] = tenant.MustSlug(fmt.Sprint("t-", k))
	}
	fail := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	p, err := s.place(i)
	fail(err)
	for b.Loop() {
		start := time.Now()
		inParallel(b, slugs, func(t tenant.Slug) error { return older(ctx, s, p, t) })
		b.ReportMetric(ms(time.Since(start))/float64(n), "ms/setup")

		start = time.Now()
		if !p.shared() {
			inParallel(b, slugs, func(t tenant.Slug) error {
				_, err := s.Migrate(ctx, t, i)
				return err
			})
		}
		b.ReportMetric(ms(time.Since(start)), "ms/migrate-all")

		inParallel(b, slugs, func(t tenant.Slug) error {
			for range 20 {
				if _, err := s.Pets(t).Create(ctx, petstore.Pet{Name: "Rex", Species: "dog"}); err != nil {
					return err
				}
			}
			return nil
		})
		const rounds = 2000
		list, create := make([]time.Duration, 0, rounds), make([]time.Duration, 0, rounds/4)
		for k := range rounds {
			// A hundred tenants are busy, as in life; 7919 spreads them.
			pets := s.Pets(slugs[(k%100)*7919%n])
			start := time.Now()
			_, err := pets.List(ctx, petstore.Query{})
			list = append(list, time.Since(start))
			fail(err)
			if k%4 == 0 {
				start = time.Now()
				_, err = pets.Create(ctx, petstore.Pet{Name: "Rex", Species: "dog"})
				create = append(create, time.Since(start))
				fail(err)
			}
		}
		b.ReportMetric(us(median(list)), "µs/list")
		b.ReportMetric(us(median(create)), "µs/create")
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "MB-heap")
		b.ReportMetric(rss(b), "MB-resident")
		files, err := os.ReadDir("/proc/self/fd")
		fail(err)
		b.ReportMetric(float64(len(files)), "descriptors")
	}
}

// older makes t's tables in the version before the newest.
func older(ctx context.Context, s *Store, p *place, t tenant.Slug) error {
	if err := p.engine.create(ctx, p.isolation, t); err != nil {
		return err
	}
	if !p.shared() {
		m, err := p.engine.migrator(ctx, p.isolation, t)
		if err != nil {
			return err
		}
		if err = m.UpTo(ctx, s.target-1); err == nil && m.after != nil {
			err = m.after(ctx)
		}
		if err := errors.Join(err, m.close()); err != nil {
			return err
		}
	}
	return p.update(ctx, t, func(c sqldb.Conn) error {
		_, err := c.ExecContext(ctx, spaceOpen, t.String(), stateOpen, 1)
		return err
	})
}

// inParallel works on four tenants at a time, as "petstore migrate" does.
func inParallel(b *testing.B, slugs []tenant.Slug, f func(tenant.Slug) error) {
	b.Helper()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for k := w; k < len(slugs); k += 4 {
				if err := f(slugs[k]); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// rss is the process's resident memory in megabytes.
func rss(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	var size, resident float64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		b.Fatal(err)
	}
	return resident * float64(os.Getpagesize()) / (1 << 20)
}
