package sqlstore

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
)

//go:embed migrations
var embedded embed.FS

// versionTable holds the numbers of the migrations applied, beside the tables
// that they made.
const versionTable = "tenant_schema_versions"

// migrationFiles is the set of an engine: what both have in common and what
// is the engine's own, as one directory.
type migrationFiles struct {
	fs.FS
	engine sqldb.Engine
}

// migrationsFor returns the engine's set.
func migrationsFor(e sqldb.Engine) fs.FS {
	sub, err := fs.Sub(embedded, "migrations")
	if err != nil {
		panic(err) // the name is a constant
	}
	return migrationFiles{sub, e}
}

// Open implements fs.FS.
func (m migrationFiles) Open(name string) (fs.File, error) {
	if f, err := m.FS.Open(path.Join(string(m.engine), name)); err == nil && name != "." {
		return f, nil
	}
	return m.FS.Open(path.Join("common", name))
}

// ReadDir implements fs.ReadDirFS.
func (m migrationFiles) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(m.FS, path.Join("common", name))
	if err != nil {
		return nil, err
	}
	own, err := fs.ReadDir(m.FS, path.Join(string(m.engine), name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // SQLite has none of its own
		return nil, err
	}
	return append(entries, own...), nil
}

// Glob implements fs.GlobFS.
func (m migrationFiles) Glob(pattern string) ([]string, error) {
	entries, err := m.ReadDir(".")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if ok, err := path.Match(pattern, e.Name()); err != nil {
			return nil, err
		} else if ok {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// targetVersion is the newest migration of the engine's set: what the
// statements of this program need.
func targetVersion(e sqldb.Engine) (int64, error) {
	names, err := migrationFiles{FS: migrationsFor(e).(migrationFiles).FS, engine: e}.Glob("*.sql")
	if err != nil {
		return 0, err
	}
	var newest int64
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading migration %q: expected a number first: %w", name, err)
		}
		newest = max(newest, n)
	}
	return newest, nil
}
