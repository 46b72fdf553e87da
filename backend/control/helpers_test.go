package control_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqlstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// world is a catalog and a store on one folder of SQLite files.
type world struct {
	*control.Catalog
	store     *sqlstore.Store
	directory *control.Directory
	db        *sqldb.DB
}

type options struct {
	now     func() time.Time
	storage func(*sqlstore.Store) control.Storage
	log     *slog.Logger
}

// open opens a folder, as a new process would. The caller closes it.
func open(ctx context.Context, dir string, o options) (*world, error) {
	db, err := sqldb.OpenSQLite(ctx, filepath.Join(dir, "petstore.db"), sqldb.SQLiteOptions{})
	if err != nil {
		return nil, err
	}
	c, err := control.Open(ctx, control.Options{
		DB: db, Plans: []tenant.Plan{"free", "premium"}, BaseDomain: "pets.example", Now: o.now, Log: o.log,
	})
	if err != nil {
		return nil, err
	}
	c.SettleAtOnce()
	d, err := control.NewDirectory(ctx, c)
	if err != nil {
		return nil, err
	}
	s, err := sqlstore.Open(ctx, sqlstore.Options{DB: db, Dir: filepath.Join(dir, "tenants"), Route: d.Route, Now: o.now})
	if err != nil {
		return nil, err
	}
	c.UseStorage(s)
	if o.storage != nil {
		c.UseStorage(o.storage(s))
	}
	_, err = s.Migrate(ctx, tenant.Slug{}, petstore.Shared)
	return &world{c, s, d, db}, err
}

func (w *world) close() error {
	if err := w.store.Close(); err != nil {
		return err
	}
	return w.db.Close()
}

func newWorld(tb testing.TB, o options) *world {
	tb.Helper()
	return worldIn(tb, tb.TempDir(), o)
}

func worldIn(tb testing.TB, dir string, o options) *world {
	tb.Helper()
	w, err := open(tb.Context(), dir, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := w.close(); err != nil {
			tb.Error(err)
		}
	})
	return w
}

// create sets a tenant up and makes it known to the store.
func (w *world) create(tb testing.TB, n control.New) control.Created {
	tb.Helper()
	created, err := w.Create(tb.Context(), n, "")
	if err != nil {
		tb.Fatal(err)
	}
	w.refresh(tb)
	return created
}

func (w *world) refresh(tb testing.TB) {
	tb.Helper()
	if err := w.directory.Refresh(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// names lists a tenant's pets.
func (w *world) names(tb testing.TB, slug tenant.Slug) []string {
	tb.Helper()
	w.refresh(tb)
	var names []string
	q := petstore.Query{Limit: 100, WithDeleted: true}
	for {
		page, err := w.store.Pets(slug).List(tb.Context(), q)
		if err != nil {
			tb.Fatal(err)
		}
		for _, p := range page.Pets {
			names = append(names, p.Name)
			q.After = p.ID
		}
		if !page.More {
			return names
		}
	}
}

// addPets gives a tenant pets named after their number, one of them deleted.
func (w *world) addPets(tb testing.TB, slug tenant.Slug, n int) {
	tb.Helper()
	for i := range n {
		p, err := w.store.Pets(slug).Create(tb.Context(), petstore.Pet{Name: fmt.Sprint("Pet ", i), Species: "cat", Tags: []string{"a"}})
		if err != nil {
			tb.Fatal(err)
		}
		if i == 0 {
			if err := w.store.Pets(slug).Delete(tb.Context(), p.ID); err != nil {
				tb.Fatal(err)
			}
		}
	}
}

// The process under test is this test binary, run again with a job in its
// environment.
const (
	jobVariable   = "CONTROL_TEST_JOB"
	dirVariable   = "CONTROL_TEST_DIR"
	pointVariable = "CONTROL_TEST_POINT"
)

func TestMain(m *testing.M) {
	job := jobs[os.Getenv(jobVariable)]
	if job == nil {
		os.Exit(m.Run())
	}
	ctx := context.Background()
	w, err := open(ctx, os.Getenv(dirVariable), options{})
	if err == nil {
		w.CrashAt(func(point string) {
			if point == os.Getenv(pointVariable) {
				// Nothing is flushed, no deferred call runs.
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		})
		err = job(ctx, w)
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// killedAt runs a job in a process of its own that is killed at a point, and
// fails the test when it was not.
func killedAt(t *testing.T, job, dir, point string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), jobVariable+"="+job, dirVariable+"="+dir, pointVariable+"="+point)
	out, err := cmd.CombinedOutput()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the process was not killed at %q: %v, %s", point, err, out)
	}
}

// jobs are what such a process does.
var jobs = map[string]func(context.Context, *world) error{
	"create shared":   func(ctx context.Context, w *world) error { return createJob(ctx, w, "shared") },
	"create database": func(ctx context.Context, w *world) error { return createJob(ctx, w, "database") },
	"move to database": func(ctx context.Context, w *world) error {
		return w.Move(ctx, tenant.MustSlug("acme"), petstore.Database)
	},
	"move to shared": func(ctx context.Context, w *world) error {
		return w.Move(ctx, tenant.MustSlug("acme"), petstore.Shared)
	},
	"purge": func(ctx context.Context, w *world) error {
		return w.Purge(ctx, tenant.MustSlug("acme"), "acme")
	},
	"import": func(ctx context.Context, w *world) error {
		f, err := os.Open(filepath.Join(os.Getenv(dirVariable), "archive"))
		if err != nil {
			return err
		}
		_, err = w.Import(ctx, f, "copied", "schema")
		return err
	},
}

func createJob(ctx context.Context, w *world, isolation string) error {
	_, err := w.Create(ctx, control.New{Slug: "acme", Isolation: isolation, AdminEmail: "ada@example.com"}, "key-1")
	return err
}

func setIssuer(t *testing.T, w *world, slug tenant.Slug, i control.Issuer) error {
	t.Helper()
	_, err := w.Change(t.Context(), slug, control.Patch{Issuer: &i})
	return err
}

func issuerOf(t *testing.T, w *world, slug tenant.Slug) (control.Issuer, error) {
	t.Helper()
	got, err := w.Get(t.Context(), slug)
	return control.IssuerOf(got), err
}
