package registry

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// population makes n records as a platform has them: a UUID each, a slug, a name,
// one of three plans, and 1.2 hosts on average. Every text is its own memory, as
// it comes from a driver.
func population(n int) []Record {
	records := make([]Record, n)
	for i := range records {
		r := &records[i]
		r.Row = i + 1
		r.ID = fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", i*2654435761&0xffffffff, i&0xffff, i&0xfff, i>>12&0xfff, i)
		r.Slug = fmt.Sprintf("customer-%07d", i)
		r.Name = fmt.Sprintf("Customer %d, Inc.", i)
		r.Plan = strings.Clone([]string{"free", "basic", "premium"}[i%3])
		r.Status = "active"
		r.Hosts = []string{fmt.Sprintf("www.customer-%07d.example", i)}
		if i%5 == 0 {
			r.Hosts = append(r.Hosts, fmt.Sprintf("shop.customer-%07d.example", i))
		}
	}
	return records
}

var sizes = []int{1_000, 100_000, 1_000_000}

// BenchmarkLookup asks for 64 k names in random order: at a million tenants all of
// it is far from the processor, as for a gateway whose tenants come one by one.
// The hot ones are 256 names, as for one whose tenants send many requests each.
func BenchmarkLookup(b *testing.B) {
	for _, n := range sizes {
		s, _ := load(newParser(nil), emptySnapshot(), population(n)...)
		rng := rand.New(rand.NewPCG(1, 1))
		const names = 1 << 16
		slugs, hosts := make([]tenant.Slug, names), make([]string, names)
		for i := range names {
			k := rng.IntN(n)
			slugs[i] = tenant.MustSlug(fmt.Sprintf("customer-%07d", k))
			hosts[i] = fmt.Sprintf("www.customer-%07d.example", k)
		}
		for name, mask := range map[string]int{"hot": 255, "cold": names - 1} {
			b.Run(fmt.Sprintf("slug/%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if s.BySlug(slugs[i&mask]) == nil {
						b.Fatal("lost")
					}
				}
			})
			b.Run(fmt.Sprintf("host/%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if s.ByHost(hosts[i&mask]) == nil {
						b.Fatal("lost")
					}
				}
			})
		}
		b.Run(fmt.Sprintf("unknown/%d", n), func(b *testing.B) {
			unknown := tenant.MustSlug("nobody-at-all")
			b.ReportAllocs()
			for b.Loop() {
				if s.BySlug(unknown) != nil {
					b.Fatal("found")
				}
			}
		})
	}
}

// BenchmarkMemory reports what a snapshot keeps in use for each tenant, texts and
// both indexes included.
func BenchmarkMemory(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				before := heap()
				s, _ := load(newParser(nil), emptySnapshot(), population(n)...)
				b.ReportMetric(float64(heap()-before)/float64(n), "B/tenant")
				runtime.KeepAlive(s)
			}
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkBuild makes a snapshot from all records: the first one, one in which
// nothing is new, and one in which ten tenants are.
func BenchmarkBuild(b *testing.B) {
	for _, n := range sizes {
		records := population(n)
		p := newParser(nil)
		first, _ := load(p, emptySnapshot(), records...)
		b.Run(fmt.Sprintf("first/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				load(p, emptySnapshot(), records...)
			}
		})
		b.Run(fmt.Sprintf("unchanged/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if s, _ := load(p, first, records...); s != first {
					b.Fatal("changed")
				}
			}
		})
		b.Run(fmt.Sprintf("ten changed/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			prev := first
			for i := 0; b.Loop(); i++ {
				for k := range 10 {
					records[k*n/10].Name = fmt.Sprint("Renamed ", i)
				}
				s, c := load(p, prev, records...)
				if c.changed != 10 {
					b.Fatal(c)
				}
				prev = s
			}
		})
	}
}

// BenchmarkRestore is a start with what was saved: it must stay below 2 s.
func BenchmarkRestore(b *testing.B) {
	for _, n := range sizes[:2] {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, _ := load(newParser(nil), emptySnapshot(), population(n)...)
			data := encodeSnapshot(s, "script", noon)
			b.ReportMetric(float64(len(data))/float64(n), "B/tenant")
			for b.Loop() {
				if s, _, err := decodeSnapshot(data, "script"); err != nil || s.Len() != n {
					b.Fatal(err)
				}
			}
		})
	}
}
