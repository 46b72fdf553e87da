// Package catalogtest makes the bundled backend's catalog for tests, and writes to
// it as a shell would.
package catalogtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Schema returns the statements that make the catalog of an engine, "sqlite" or
// "postgres", as of its latest migration or, if before is not empty, of the last one
// before the one whose name begins like that.
func Schema(tb testing.TB, engine, before string) string {
	tb.Helper()
	paths, err := filepath.Glob(filepath.Join(root(tb), "backend/control/migrations/*.sql"))
	if err != nil || len(paths) < 8 {
		tb.Fatalf("found %d migrations, %v", len(paths), err)
	}
	other := map[string]string{"sqlite": "_postgres.sql", "postgres": "_sqlite.sql"}[engine]
	slices.Sort(paths)
	var all strings.Builder
	for _, path := range paths {
		name := filepath.Base(path)
		if before != "" && name >= before {
			break
		}
		if strings.HasSuffix(name, other) {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		all.WriteString(up)
	}
	return all.String()
}

// root finds the module's folder from that of the test.
func root(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	tb.Fatal("finding go.mod: expected it above the test's folder")
	return ""
}
