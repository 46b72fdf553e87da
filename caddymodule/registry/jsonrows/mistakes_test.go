package jsonrows_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/jsonrows"
)

var update = flag.Bool("update", false, "write the messages of testdata/mistakes anew")

// Every mistake has a fixture, and beside it what is said about it: the error if
// nothing could be read, else the tenants that are served and the problems.
func TestEveryMistakeIsNamed(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/mistakes/*.*")
	if err != nil {
		t.Fatal(err)
	}
	tested := 0
	for _, path := range paths {
		if filepath.Ext(path) == ".want" {
			continue
		}
		tested++
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := outcome(t, parser(path), data) + "\n"
			want, err := os.ReadFile(path + ".want")
			if *update {
				want, err = []byte(got), os.WriteFile(path+".want", []byte(got), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
	if tested < 40 {
		t.Errorf("only %d mistakes were tried", tested)
	}
}

func parser(path string) func([]byte) (*jsonrows.Document, error) {
	if filepath.Ext(path) == ".json" {
		return jsonrows.JSON
	}
	return jsonrows.YAML
}

func outcome(t *testing.T, parse func([]byte) (*jsonrows.Document, error), data []byte) string {
	t.Helper()
	doc, err := parse(data)
	if err != nil {
		return "error: " + err.Error()
	}
	lines := []string{"served:"}
	s := served(t, doc.Records)
	for tenant := range s.All() {
		lines[0] += " " + tenant.Slug.String()
	}
	for _, p := range s.Problems() {
		line := p.String()
		if !p.Skipped {
			line += " (served)"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// served is what a registry makes of the records.
func served(t *testing.T, records []registry.Record) *registry.Snapshot {
	t.Helper()
	r := registry.Open(registry.Options{Source: list(records), Interval: time.Hour})
	defer func() { _ = r.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := r.WaitFirst(ctx); err != nil {
		t.Fatal(err)
	}
	return r.Snapshot()
}

type list []registry.Record

func (l list) Load(context.Context) ([]registry.Record, error) { return l, nil }
func (l list) String() string                                  { return "list" }
func (l list) Close() error                                    { return nil }
