package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

func TestSQLiteIsNeverWrittenToNorCreated(t *testing.T) {
	p := newPlace(t, "wal")
	refuse(t, openUntilEnd(t, p.path, ""), "no such file")
	if _, err := os.Stat(p.path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the file was created: %v", err)
	}
	p.put(t, registry.Record{ID: "1", Slug: "acme"})
	for _, query := range []string{
		"DELETE FROM tenants RETURNING slug",
		"INSERT INTO tenants (id, slug, status) VALUES ('2', 'globex', 'active') RETURNING slug",
	} {
		t.Run(query, func(t *testing.T) { refuse(t, openUntilEnd(t, p.path, query), "readonly") })
	}
	if got := load(t, openUntilEnd(t, p.path, "")); got != "1|acme|||active||" {
		t.Errorf("got %s", got)
	}
}

func TestSQLiteReadsWhileAWriterHoldsTheDatabaseInWALMode(t *testing.T) {
	p := newPlace(t, "wal")
	p.put(t, registry.Record{ID: "1", Slug: "acme"})
	s := openUntilEnd(t, p.path, "")
	p.exec(t, "BEGIN IMMEDIATE")
	p.exec(t, "UPDATE tenants SET name = 'uncommitted'")
	if got := load(t, s); strings.Contains(got, "uncommitted") {
		t.Errorf("got %s", got)
	}
	s.unchanged(t)
	p.exec(t, "COMMIT")
	if got := load(t, s); !strings.Contains(got, "uncommitted") {
		t.Errorf("got %s", got)
	}
}

func TestALockedSQLiteIsAFailureThatPasses(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "delete")
	p.put(t, registry.Record{ID: "1", Slug: "acme"})
	s := openUntilEnd(t, p.path, "")
	p.exec(t, "BEGIN EXCLUSIVE")
	refuse(t, s, "locked")
	p.exec(t, "COMMIT")
	load(t, s)
}

func TestAReplacedSQLiteFileIsReadAnew(t *testing.T) {
	p, other, third := newPlace(t, "delete"), newPlace(t, "delete"), newPlace(t, "delete")
	for i, place := range []*place{p, other, third} {
		place.put(t, registry.Record{ID: "1", Slug: []string{"acme", "globex", "hooli"}[i]})
		place.close()
	}
	s := openUntilEnd(t, p.path, "")
	load(t, s)
	changed := func(slug string) {
		t.Helper()
		if got := s.found(t, "all"); got != "1|"+slug+"|||active||" {
			t.Errorf("got %s", got)
		}
	}
	if err := os.Rename(other.path, p.path); err != nil { // another inode
		t.Fatal(err)
	}
	changed("globex")

	// The same inode with the same change counter: no pragma tells.
	data, err := os.ReadFile(third.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(p.path, time.Time{}, time.Now().Add(time.Second)); err != nil { // what is written within a tick has one time
		t.Fatal(err)
	}
	changed("hooli")
}

func TestATruncatedSQLiteFileIsAFailure(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "delete")
	records := make([]registry.Record, 500)
	for i := range records {
		name := strings.Repeat("x", i+1)
		records[i] = registry.Record{ID: name, Slug: name, Name: strings.Repeat("x", 200)}
	}
	p.put(t, records...)
	p.close()
	info, err := os.Stat(p.path)
	if err != nil {
		t.Fatal(err)
	}
	s := openUntilEnd(t, p.path, "")
	for _, size := range []int64{info.Size() / 2, 0} { // an empty file is an empty database
		if err := os.Truncate(p.path, size); err != nil {
			t.Fatal(err)
		}
		refuse(t, s, "")
	}
}

// What a URL calls a host must not be made of a path.
func TestAPathMayBeginWithTwoSlashes(t *testing.T) {
	p := newPlace(t, "delete")
	p.put(t, registry.Record{ID: "1", Slug: "acme"})
	for _, path := range []string{"/" + p.path, "//" + p.path, strings.Replace(p.path, "/a b", "//a b", 1)} {
		t.Run(path, func(t *testing.T) { load(t, openUntilEnd(t, path, "")) })
	}
	t.Run("relative", func(t *testing.T) {
		t.Chdir(filepath.Dir(p.path))
		load(t, openUntilEnd(t, filepath.Base(p.path), ""))
	})
}

func TestTheNameIsKindAndPlaceAndQuery(t *testing.T) {
	name := func(path, query string) string { return openUntilEnd(t, path, query).String() }
	if got := name("/a.db", ""); got != "sqlite /a.db" {
		t.Errorf("named %q", got)
	}
	if one, two := name("/a.db", "SELECT 1"), name("/a.db", "SELECT 2"); one == two || !strings.HasPrefix(one, "sqlite /a.db query ") || one != name("/a.db", " SELECT 1\n") {
		t.Errorf("named %q and %q", one, two)
	}
}
