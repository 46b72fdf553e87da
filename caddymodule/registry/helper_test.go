package registry

import (
	"context"
	"errors"
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

func (s *script) Changed() <-chan struct{} { return s.changed }
func (s *script) String() string           { return "script" }
func (s *script) Close() error {
	s.closed++
	return errClosing
}

var errClosing = errors.New("closing failed")

// open returns a registry that looks at the source only when told to.
func open(t testing.TB, source Source, check func(*tenant.Tenant) error) *Registry {
	t.Helper()
	r := Open(Options{Source: source, Interval: time.Hour, Check: check})
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

func checkLimits(t *tenant.Tenant) error {
	if t.Limits != "" {
		return errors.New("no limits allowed")
	}
	return nil
}
