package sqlstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// twoProcesses are two stores on one folder, as a server and a command have them.
func twoProcesses(t *testing.T, i petstore.Isolation) (server, command *Store, dir string) {
	t.Helper()
	dir = t.TempDir()
	open := func() *Store {
		db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(dir, "petstore.db"), sqldb.SQLiteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), Options{DB: db, Dir: filepath.Join(dir, "tenants"), Route: Always(i)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := errors.Join(s.Close(), db.Close()); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	server, command = open(), open()
	if _, err := server.Migrate(t.Context(), tenant.Slug{}, petstore.Shared); err != nil {
		t.Fatal(err)
	}
	return server, command, dir
}

func namesIn(t *testing.T, s *Store, slug tenant.Slug) (names []string) {
	t.Helper()
	page, err := s.Pets(slug).List(t.Context(), petstore.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range page.Pets {
		names = append(names, p.Name)
	}
	return names
}

func TestAPlaceThatAnotherProcessMadeAnewIsUsedFromThenOn(t *testing.T) {
	slug := tenant.MustSlug("acme")
	for _, i := range petstore.Isolations {
		t.Run(string(i), func(t *testing.T) {
			server, command, _ := twoProcesses(t, i)
			if err := server.Create(t.Context(), slug, i); err != nil {
				t.Fatal(err)
			}
			if _, err := server.Pets(slug).Create(t.Context(), petstore.Pet{Name: "Old", Species: "cat"}); err != nil {
				t.Fatal(err)
			}
			for _, first := range []string{"a write", "a read", "nothing"} {
				if err := command.Remove(t.Context(), slug, i); err != nil {
					t.Fatal(err)
				}
				if first == "nothing" {
					if _, err := server.Pets(slug).List(t.Context(), petstore.Query{}); !errors.Is(err, petstore.ErrNoTenant) {
						t.Errorf("after the removal: got error %v, expected ErrNoTenant", err)
					}
				}
				if err := command.Create(t.Context(), slug, i); err != nil {
					t.Fatal(err)
				}
				if first == "a read" && len(namesIn(t, server, slug)) != 0 {
					t.Error("the server reads the file that was removed")
				}
				if _, err := server.Pets(slug).Create(t.Context(), petstore.Pet{Name: "New", Species: "cat"}); err != nil {
					t.Fatal(err)
				}
				if got := namesIn(t, command, slug); len(got) != 1 || got[0] != "New" {
					t.Errorf("%s first: the other process reads %q, expected New: the write was acknowledged", first, got)
				}
			}
		})
	}
}

// A version that was seen once is no reason to believe it of other tables.
func TestTablesThatAnOlderProgramMadeAnewAreSaidToBeBehind(t *testing.T) {
	slug := tenant.MustSlug("acme")
	for _, i := range []petstore.Isolation{petstore.Schema, petstore.Database} {
		t.Run(string(i), func(t *testing.T) {
			server, command, dir := twoProcesses(t, i)
			if err := server.Create(t.Context(), slug, i); err != nil {
				t.Fatal(err)
			}
			namesIn(t, server, slug)
			if err := command.Remove(t.Context(), slug, i); err != nil {
				t.Fatal(err)
			}
			if err := command.Make(t.Context(), slug, i); err != nil {
				t.Fatal(err)
			}
			db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(dir, "tenants", string(i), "acme.db"), sqldb.SQLiteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			m, err := sqldb.NewMigrator(db.Pool(), sqldb.SQLite, migrations, versionTable)
			if err != nil {
				t.Fatal(err)
			}
			err = m.UpTo(t.Context(), 1)
			_, failed := db.Pool().ExecContext(t.Context(), spaceOpen, slug.String(), stateOpen, 1)
			if err := errors.Join(err, failed, db.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := server.Pets(slug).List(t.Context(), petstore.Query{}); !errors.Is(err, petstore.ErrBehind) {
				t.Errorf("got error %v, expected ErrBehind", err)
			}
		})
	}
}

// An operator puts a backup back without stopping the server.
func TestAFileThatWasPutInTheMainFilesPlaceIsNeitherReadNorWritten(t *testing.T) {
	server, _, dir := twoProcesses(t, petstore.Shared)
	slug := tenant.MustSlug("acme")
	if err := server.Create(t.Context(), slug, petstore.Shared); err != nil {
		t.Fatal(err)
	}
	main, copied := filepath.Join(dir, "petstore.db"), filepath.Join(dir, "copy.db")
	if err := sqldb.BackUp(t.Context(), main, copied); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(copied, main); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Pets(slug).Create(t.Context(), petstore.Pet{Name: "Lost", Species: "cat"}); !errors.Is(err, petstore.ErrUnavailable) {
		t.Errorf("writing: got error %v, expected ErrUnavailable", err)
	}
	if _, err := server.Pets(slug).List(t.Context(), petstore.Query{}); !errors.Is(err, petstore.ErrUnavailable) {
		t.Errorf("reading: got error %v, expected ErrUnavailable", err)
	}
}

func TestFilesAndFoldersAreTheirOwnersAlone(t *testing.T) {
	server, _, dir := twoProcesses(t, petstore.Database)
	slug := tenant.MustSlug("acme")
	for _, i := range petstore.Isolations {
		if err := server.Create(t.Context(), slug, i); err != nil {
			t.Fatal(err)
		}
	}
	namesIn(t, server, slug) // with its log open
	err := filepath.WalkDir(filepath.Join(dir, "."), func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; err == nil && info.Mode().Perm() != want {
			t.Errorf("%q has mode %o, expected %o", path, info.Mode().Perm(), want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
