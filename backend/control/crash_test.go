package control_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

var acme = tenant.MustSlug("acme")

// counter is a Sender that remembers.
type counter struct {
	mails []control.Mail
	fail  int // sends that fail before one succeeds
}

func (c *counter) Send(_ context.Context, m control.Mail) error {
	if c.fail > 0 {
		c.fail--
		return errors.New("mailbox busy")
	}
	c.mails = append(c.mails, m)
	return nil
}

func TestTenantIsFinishedAfterAKillBetweenAnyTwoSteps(t *testing.T) {
	for isolation, names := range map[string][]string{
		"shared": {"storage", "migrations", "config", "admin", "sample", "welcome"},
		// The places differ in the first steps only.
		"database": {"storage", "migrations", "sample"},
	} {
		for _, step := range names {
			for _, moment := range []string{"after ", "recorded "} {
				t.Run(isolation+" "+moment+step, func(t *testing.T) {
					t.Parallel()
					dir := t.TempDir()
					killedAt(t, "create "+isolation, dir, moment+step)
					w := worldIn(t, dir, options{})
					half, err := w.Get(t.Context(), acme)
					if err != nil || half.Status != tenant.Provisioning {
						t.Fatalf("after the kill: got status %s, %v, expected that nobody is served yet", half.Status, err)
					}
					if n, err := w.Resume(t.Context(), 0); n != 1 || err != nil {
						t.Fatalf("resumed %d, %v", n, err)
					}
					checkSetUp(t, w, half.ID)
				})
			}
		}
	}
}

// checkSetUp demands that everything is there, once.
func checkSetUp(t *testing.T, w *world, id string) {
	t.Helper()
	// The client repeats its request and gets what it would have got.
	created, err := w.Create(t.Context(), control.New{Slug: "acme", Isolation: string(must(w.Get(t.Context(), acme)).Isolation), AdminEmail: "ada@example.com"}, "key-1")
	if err != nil || created.Tenant.ID != id || created.Tenant.Status != tenant.Active || created.SetupToken == "" {
		t.Fatalf("repeating the request: got %+v, %v", created, err)
	}
	if names := w.names(t, acme); len(names) != 1 || names[0] != "Sample" {
		t.Errorf("got pets %q, expected the sample", names)
	}
	var box counter
	if n, err := w.Deliver(t.Context(), &box); n != 1 || err != nil {
		t.Errorf("delivered %d mails, %v, expected the welcome", n, err)
	}
	if n, err := w.Deliver(t.Context(), &box); n != 0 || err != nil {
		t.Errorf("delivered %d mails again, %v", n, err)
	}
	if k, _, err := w.Redeem(t.Context(), acme, created.SetupToken); err != nil || k.Name != "ada@example.com" || !slices.Equal(k.Roles, []string{petstore.RoleAdmin}) {
		t.Errorf("got key %+v, %v", k, err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestMoveIsFinishedOrUndoneAfterAKillAtAnyPoint(t *testing.T) {
	for _, to := range []petstore.Isolation{petstore.Database, petstore.Shared} {
		from := petstore.Schema
		for point, want := range map[string]petstore.Isolation{
			"move recorded": from, "move frozen": from, "move copied": from, "move switched": to, "move thawed": to,
		} {
			if to == petstore.Shared && point != "move copied" && point != "move switched" {
				continue // the places differ in these two only
			}
			t.Run(string(to)+" "+point, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				w := worldIn(t, dir, options{})
				w.create(t, control.New{Slug: "acme", Isolation: string(from)})
				w.create(t, control.New{Slug: "globex", Isolation: string(from)})
				w.addPets(t, acme, 5)
				killedAt(t, "move to "+string(to), dir, point)

				// Reads go on and other tenants notice nothing.
				if names := w.names(t, acme); len(names) != 6 {
					t.Errorf("got %d pets right after the kill, expected 6", len(names))
				}
				w.addPets(t, tenant.MustSlug("globex"), 1)
				if _, err := w.ResumeMoves(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.refresh(t)
				if got := must(w.Get(t.Context(), acme)).Isolation; got != want {
					t.Errorf("the tenant is in %q, expected %q", got, want)
				}
				w.addPets(t, acme, 1)
				if names := w.names(t, acme); len(names) != 7 {
					t.Errorf("got %d pets, expected 7", len(names))
				}
				for _, i := range petstore.Isolations {
					_, err := w.store.PetsIn(acme, i).List(t.Context(), petstore.Query{})
					if (i == want) != (err == nil) {
						t.Errorf("in %q: got error %v; the tenant is in %q", i, err, want)
					}
				}
			})
		}
	}
}

func TestPurgeIsFinishedAfterAKill(t *testing.T) {
	dir := t.TempDir()
	w := worldIn(t, dir, options{})
	w.create(t, control.New{Slug: "acme", Isolation: "database"})
	deactivated := tenant.Deactivated
	if _, err := w.Change(t.Context(), acme, control.Patch{Status: &deactivated}); err != nil {
		t.Fatal(err)
	}
	killedAt(t, "purge", dir, "removed")
	active := tenant.Active
	if _, err := w.Change(t.Context(), acme, control.Patch{Status: &active}); !errors.Is(err, control.ErrState) {
		t.Errorf("reviving a tenant whose purge has begun: got error %v, expected ErrState", err)
	}
	if n, err := w.PurgeDue(t.Context()); n != 1 || err != nil {
		t.Fatalf("purged %d, %v", n, err)
	}
	if got := must(w.Get(t.Context(), acme)).Status; got != tenant.Purged {
		t.Errorf("got status %s", got)
	}
}

func TestImportThatWasCutOffLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	w := worldIn(t, dir, options{})
	w.create(t, control.New{Slug: "acme"})
	w.addPets(t, acme, 3)
	f, err := os.Create(filepath.Join(dir, "archive"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Export(t.Context(), acme, f), f.Close()); err != nil {
		t.Fatal(err)
	}
	killedAt(t, "import", dir, "import loaded")
	if _, err := w.Resume(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Get(t.Context(), tenant.MustSlug("copied")); !errors.Is(err, tenant.ErrNotFound) {
		t.Errorf("got error %v, expected that no half tenant is left", err)
	}
	if _, err := w.store.PetsIn(tenant.MustSlug("copied"), petstore.Schema).List(t.Context(), petstore.Query{}); !errors.Is(err, petstore.ErrNoTenant) {
		t.Errorf("got error %v, expected that no pets are left", err)
	}
	if err := sqldb.CheckIntegrity(t.Context(), filepath.Join(dir, "petstore.db")); err != nil {
		t.Error(err)
	}
}
