package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// patience bounds every wait in the tests; only a failure waits so long.
const patience = 20 * time.Second

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// script is a source that answers what the test says.
type script struct {
	mu      sync.Mutex
	records []Record
	err     error
	loads   int
	closed  int
	changed chan struct{}
	hook    func(ctx context.Context) // called in every Load
}

func newScript(records ...Record) *script {
	return &script{records: records, changed: make(chan struct{}, 1)}
}

func (s *script) say(err error, records ...Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records, s.err = records, err
}

func (s *script) Load(ctx context.Context) ([]Record, error) {
	s.mu.Lock()
	s.loads++
	records, err, hook := slices.Clone(s.records), s.err, s.hook
	s.mu.Unlock()
	if hook != nil {
		hook(ctx)
	}
	for i := range records {
		records[i].Row = i + 1
	}
	return records, err
}

func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads
}

func (s *script) Changed() <-chan struct{} { return s.changed }
func (s *script) String() string           { return "script" }
func (s *script) Close() error {
	s.closed++
	return errClosing
}

var errClosing = errors.New("closing failed")

// open returns a registry that polls the source only when told to.
func open(t testing.TB, source Source, check func(*tenant.Tenant) []Fault, store Store) *Registry {
	t.Helper()
	r := Open(Options{Source: source, Interval: time.Hour, Check: check, Store: store})
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func slug(s string) tenant.Slug { return tenant.MustSlug(s) }

func slugsOf(s *Snapshot) string {
	var slugs []string
	for t := range s.All() {
		slugs = append(slugs, t.Slug.String())
	}
	return strings.Join(slugs, " ")
}

func problemsOf(s *Snapshot) string {
	var lines []string
	for _, p := range s.Problems() {
		line := p.String()
		if !p.Skipped {
			line += " (served)"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func checkLimits(t *tenant.Tenant) []Fault {
	if t.Limits != "" {
		return []Fault{{"limits", errors.New("no limits allowed")}}
	}
	return nil
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func newParser(check func(*tenant.Tenant) []Fault) *tenantReader {
	return &tenantReader{check: check, now: func() time.Time { return noon }}
}

// load builds a snapshot of the records on top of another one.
func load(r *tenantReader, prev *Snapshot, records ...Record) (*Snapshot, change) {
	for i := range records {
		records[i].Row = i + 1
	}
	return r.on(prev).build(records, noon)
}

// dump says all that a snapshot holds.
func dump(s *Snapshot) string {
	var b strings.Builder
	for t := range s.All() {
		fmt.Fprintf(&b, "%+v\n", *t)
		if s.BySlug(t.Slug) != t {
			fmt.Fprintf(&b, "%s is not indexed\n", t.Slug)
		}
		for _, h := range t.Hosts {
			if s.ByHost(h) != t {
				fmt.Fprintf(&b, "%s is not indexed\n", h)
			}
		}
	}
	for i := range 50 {
		if t := s.ByHost(fmt.Sprintf("h%d.example", i)); t != nil {
			fmt.Fprintf(&b, "h%d: %s\n", i, t.Slug)
		}
	}
	return b.String() + fmt.Sprint(s.Len(), s.Hosts()) + "\n" + problemsOf(s)
}
