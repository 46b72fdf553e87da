package cluster

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// stream is a run of changes, one after the other, that goes on whatever is
// down: it creates tenants, and changes three fields of one at once.
type stream struct {
	*platform
	rng  *rand.Rand
	name string
	work sync.WaitGroup
	stop atomic.Bool
	done atomic.Int64 // acknowledged

	created map[string]bool // slugs, and whether that was acknowledged
	version int             // the last one that was asked for
	least   int             // the last one that was acknowledged
}

// startStream begins with the next change once one is answered.
func (s *story) startStream(seed uint64) *stream {
	s.t.Helper()
	s.created++
	f := &stream{platform: s.platform, rng: rand.New(rand.NewPCG(seed, 0)), name: fmt.Sprintf("stream-%d", s.created), created: make(map[string]bool)}
	if _, ok := f.ask(http.MethodPost, "/tenants", fmt.Sprintf(`{"slug":%q,"plan":"free"}`, f.name)); !ok {
		s.t.Fatalf("tenant %q was not created", f.name)
	}
	f.work.Go(func() {
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for i := 1; !f.stop.Load(); i++ {
			f.change(i)
			<-tick.C // without PostgreSQL a refusal takes no time
		}
	})
	s.t.Cleanup(f.end)
	return f
}

func (f *stream) change(i int) {
	if i%3 == 0 {
		slug := fmt.Sprintf("%s-%d", f.name, i)
		isolation := []string{"shared", "schema"}[f.rng.IntN(2)]
		_, ok := f.ask(http.MethodPost, "/tenants", fmt.Sprintf(`{"slug":%q,"isolation":%q,"plan":"basic"}`, slug, isolation))
		f.created[slug] = ok
		return
	}
	f.version = i
	if _, ok := f.ask(http.MethodPatch, "/tenants/"+f.name, f.body(i)); ok {
		f.least = i
	}
}

// body is a version of the tenant: plan, hosts and name change together.
func (f *stream) body(version int) string {
	r := f.at(version)
	hosts, _ := json.Marshal(r.Hosts)
	return fmt.Sprintf(`{"name":"version %d","plan":%q,"hosts":%s}`, version, r.Plan, hosts)
}

func (f *stream) at(version int) record {
	plans := []string{"basic", "premium", "enterprise"}
	return record{Slug: f.name, Plan: plans[version%len(plans)], Status: "active", Hosts: []string{fmt.Sprintf("v%d.%s.example", version, f.name)}}
}

// ask is operate for this goroutine.
func (f *stream) ask(method, path, body string) (status int, ok bool) {
	status, ok = f.operateAt(f.stores[f.rng.IntN(len(f.stores))], method, path, body, nil)
	if ok {
		f.done.Add(1)
	}
	return status, ok
}

// await waits for so many more acknowledgements.
func (f *stream) await(t *testing.T, n int) {
	t.Helper()
	until := f.done.Load() + int64(n)
	harness.Eventually(t, inForce, fmt.Sprintf("%d more changes to be acknowledged", n), func() bool { return f.done.Load() >= until })
}

func (f *stream) end() {
	f.stop.Store(true)
	f.work.Wait()
}

// check compares catalog and gateways, which agree, with what was asked for:
// what was acknowledged is there, what was not is there as a whole or not at
// all.
func (f *stream) check(s *story) {
	t := s.t
	t.Helper()
	all, ok := s.catalog()
	if !ok {
		t.Fatal("the catalog does not answer")
	}
	got := all[f.name]
	if !slices.ContainsFunc(f.versions(), func(v int) bool {
		want := f.at(v)
		return got.Plan == want.Plan && slices.Equal(got.Hosts, want.Hosts)
	}) {
		t.Errorf("after a change that was cut off the tenant is %+v; want a version from %d to %d", got, f.least, f.version)
	}
	acknowledged := 0
	for slug, known := range f.created {
		r, there := all[slug]
		switch {
		case known && r.Status != "active":
			t.Errorf("the acknowledged tenant %q is %+v", slug, r)
		case known:
			acknowledged++
			f.whole(s, slug)
		case there:
			s.attempts = append(s.attempts, slug)
			fallthrough
		default:
			f.hidden(s, slug, r.Status)
		}
	}
	t.Logf("  %d tenants created, %d not acknowledged; the other is at version %d of %d", acknowledged, len(f.created)-acknowledged, f.least, f.version)
}

func (f *stream) versions() (list []int) {
	for v := f.least; v <= f.version; v++ {
		list = append(list, v)
	}
	return list
}

// whole demands that a tenant is served with its sample pet.
func (f *stream) whole(s *story, slug string) {
	s.t.Helper()
	w := &way{name: "host", slug: slug, host: harness.Host(slug)}
	for g := range s.gateways {
		if a := s.ask(g, w, http.MethodGet, "/api/pets", ""); !a.ok() || !strings.Contains(a.body, `"Sample"`) {
			s.t.Errorf("%s: tenant %q: status %d, %v\n%s\nwant its sample pet", s.gateways[g].name, slug, a.status, a.err, a.body)
		}
	}
}

// hidden demands that a tenant that is not active is not served anywhere.
func (f *stream) hidden(s *story, slug, status string) {
	s.t.Helper()
	if status == "active" {
		f.whole(s, slug)
		return
	}
	w := &way{name: "host", slug: slug, host: harness.Host(slug)}
	for g := range s.gateways {
		if a := s.ask(g, w, http.MethodGet, seenPath, ""); a.saw != "" {
			s.t.Errorf("%s serves tenant %q, which is %q", s.gateways[g].name, slug, status)
		}
	}
}

// restartStores restarts one pet store after the other, which ask first for
// what was cut off.
func (s *story) restartStores() {
	s.t.Helper()
	foul(&s.weather.stores)
	for i := range s.stores {
		s.stores[i].Stop()
		s.stores[i].Start()
		s.awaitStore(i)
	}
}

// finishTenants restarts the pet stores, which finish what was cut off, and
// demands that nothing half is left.
func (s *story) finishTenants() {
	s.t.Helper()
	s.restartStores()
	harness.Eventually(s.t, inForce, "all tenants to be set up", func() bool {
		all, ok := s.catalog()
		if !ok {
			return false
		}
		for _, r := range all {
			if r.Status == "provisioning" {
				return false
			}
		}
		return true
	})
	s.agree(s.living())
	f := &stream{}
	for _, slug := range s.attempts {
		f.whole(s, slug)
	}
}
