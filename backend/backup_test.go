package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func TestBackupThatIsPutBackIsTheWholeInstallation(t *testing.T) {
	o := &operatorShell{t: t, dir: filepath.Join(t.TempDir(), "data")}
	for _, i := range []string{"shared", "schema", "database"} {
		o.do(0, "tenant", "create", "in-"+i, "--isolation", i)
	}
	running := start(t, "--data", o.dir) // the server goes on meanwhile
	target := filepath.Join(t.TempDir(), "backup")
	o.do(0, "backup", target)
	if code := running.stop(); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	o.do(1, "backup", target) // never over another
	restored := &operatorShell{t: t, dir: target}
	if got, want := restored.do(0, "tenant", "list"), o.do(0, "tenant", "list"); got != want {
		t.Errorf("got %s, expected %s", got, want)
	}
	g := newGateway(t, target)
	server := start(t, "--data", target)
	for _, i := range []string{"shared", "schema", "database"} {
		status, body, err := g.call(t.Context(), "GET", server.address+"/api/pets/sample", "in-"+i, "", "")
		if err != nil || status != 200 {
			t.Errorf("%s: got %d %s, %v", i, status, body, err)
		}
	}
}

// Catalog and files are copied at several moments: what happens between them must
// not come apart.
func TestABackupHasTheDataOfTenantsThatMoveMeanwhile(t *testing.T) {
	const slug = "acme"
	for name, test := range map[string]struct {
		isolation string // empty: it is created meanwhile
		meanwhile [][]string
		want      int // pets
	}{
		"created in a file":           {"", [][]string{{"tenant", "create", slug, "--isolation", "database"}}, 1},
		"created in a schema":         {"", [][]string{{"tenant", "create", slug, "--isolation", "schema"}}, 1},
		"moved into a file":           {"shared", [][]string{{"tenant", "move", slug, "--to", "database"}}, 1},
		"moved into a schema":         {"shared", [][]string{{"tenant", "move", slug, "--to", "schema"}}, 1},
		"moved out of a file":         {"database", [][]string{{"tenant", "move", slug, "--to", "shared"}}, 1},
		"moved from file to file":     {"schema", [][]string{{"tenant", "move", slug, "--to", "database"}}, 1},
		"moved there, and back again": {"database", [][]string{{"tenant", "move", slug, "--to", "shared"}, {"add"}, {"tenant", "move", slug, "--to", "database"}}, 2},
		"purged":                      {"database", [][]string{{"tenant", "deactivate", slug}, {"tenant", "purge", slug, "--confirm", slug}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o := &operatorShell{t: t, dir: filepath.Join(t.TempDir(), "data")}
			o.do(0, "tenant", "create", "globex", "--isolation", "database")
			if test.isolation != "" {
				o.do(0, "tenant", "create", slug, "--isolation", test.isolation)
			}
			target := filepath.Join(t.TempDir(), "backup")
			if err := os.Mkdir(target, 0o700); err != nil {
				t.Fatal(err)
			}
			c := copying{from: o.dir, to: target, between: func(round int) {
				for _, args := range test.meanwhile {
					switch {
					case round > 0:
					case args[0] == "add":
						addPet(t, o.dir, slug)
					default:
						o.do(0, args...)
					}
				}
			}}
			if err := c.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			restored := &operatorShell{t: t, dir: target}
			if got, want := restored.do(0, "tenant", "list"), o.do(0, "tenant", "list"); got != want {
				t.Errorf("got %s, expected %s", got, want)
			}
			if got := petsOf(t, target, slug); got != test.want {
				t.Errorf("%d pets after restoring, expected %d", got, test.want)
			}
			if got := petsOf(t, target, "globex"); got != 1 {
				t.Errorf("%d pets of another tenant after restoring, expected 1", got)
			}
			files, err := filepath.Glob(filepath.Join(target, "tenants", "*", slug+".db"))
			if own := test.want > 0 && name != "moved out of a file"; err != nil || (len(files) == 1) != own {
				t.Errorf("files %q in the backup, %v", files, err)
			}
		})
	}
}

func TestABackupWithoutATenantsDataSaysSoAndIsNone(t *testing.T) {
	o := &operatorShell{t: t, dir: filepath.Join(t.TempDir(), "data")}
	o.do(0, "tenant", "create", "acme", "--isolation", "database")
	if err := os.Remove(filepath.Join(o.dir, "tenants", "database", "acme.db")); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(t.TempDir(), "backup")
	if got := o.do(1, "backup", target); !strings.Contains(got, `"acme"`) {
		t.Errorf("got %s, expected the tenant's name", got)
	}
	if _, err := os.Stat(filepath.Join(target, "petstore.db")); err == nil {
		t.Error("what is left looks like a backup")
	}
}

// A tenant that is half set up has steps on record whose files are not copied.
func TestATenantThatIsBeingSetUpIsFinishedAfterRestoring(t *testing.T) {
	o := &operatorShell{t: t, dir: filepath.Join(t.TempDir(), "data")}
	o.do(0, "tenant", "create", "acme", "--isolation", "database")
	db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(o.dir, "petstore.db"), sqldb.SQLiteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	execute(t, db.Pool(), `UPDATE tenants SET status = 'provisioning' WHERE slug = 'acme'`)
	execute(t, db.Pool(), `DELETE FROM onboarding_steps WHERE step IN ('sample', 'welcome')`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(t.TempDir(), "backup")
	o.do(0, "backup", target)
	g := newGateway(t, target)
	server := start(t, "--data", target)
	waitFor(t, func() bool {
		status, _, err := g.call(t.Context(), "GET", server.address+"/api/pets/sample", "acme", "", "")
		return err == nil && status == 200
	})
}

// within opens an installation's data for a moment.
func within(t *testing.T, dir string, f func(*backend) error) {
	t.Helper()
	data := dataConfig{}
	data.register(newFlags(environment{getenv: environ(nil), stdout: io.Discard, stderr: io.Discard}, "test", "test"))
	data.dir = dir
	if err := data.with(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func addPet(t *testing.T, dir, slug string) {
	t.Helper()
	within(t, dir, func(b *backend) error {
		_, err := b.store.Pets(tenant.MustSlug(slug)).Create(t.Context(), petstore.Pet{Name: "Late", Species: "cat"})
		return err
	})
}

// petsOf counts a tenant's pets; one without a place has none.
func petsOf(t *testing.T, dir, slug string) (n int) {
	t.Helper()
	within(t, dir, func(b *backend) error {
		page, err := b.store.Pets(tenant.MustSlug(slug)).List(t.Context(), petstore.Query{})
		if n = len(page.Pets); errors.Is(err, petstore.ErrNoTenant) {
			return nil
		}
		return err
	})
	return n
}
