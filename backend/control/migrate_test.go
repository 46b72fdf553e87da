package control_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqlstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// aging is a store whose program has just become newer: every place is one
// version behind until it is migrated.
type aging struct {
	*sqlstore.Store
	target int64

	mu       sync.Mutex
	broken   map[tenant.Slug]bool
	migrated []string
	started  chan struct{} // when set, each migration takes one from it
	hold     chan struct{} // and then waits until this is closed
}

func (a *aging) Target() int64 { return a.target }

func (a *aging) Migrate(ctx context.Context, t tenant.Slug, i petstore.Isolation) (int64, error) {
	if a.hold != nil {
		select {
		case <-a.started:
		case <-a.hold:
		}
		<-a.hold
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broken[t] {
		return 0, errors.New("column exists")
	}
	if _, err := a.Store.Migrate(ctx, t, i); err != nil {
		return 0, err
	}
	a.migrated = append(a.migrated, t.String())
	return a.target, nil
}

func agingWorld(t *testing.T, tenants int) (*world, *aging) {
	t.Helper()
	var a *aging
	w := newWorld(t, options{storage: func(s *sqlstore.Store) control.Storage {
		a = &aging{Store: s, target: s.Target(), broken: map[tenant.Slug]bool{}}
		return a
	}})
	for i := range tenants {
		w.create(t, control.New{Slug: fmt.Sprint("t-", i), Isolation: "schema"})
	}
	if err := w.RecordShared(t.Context(), a.target); err != nil {
		t.Fatal(err)
	}
	a.target++
	a.migrated = nil
	return w, a
}

func TestFailedMigrationDoesNotKeepTheOthersBackAndIsTriedAgain(t *testing.T) {
	w, a := agingWorld(t, 6)
	bad := tenant.MustSlug("t-3")
	a.broken[bad] = true
	var told []string
	err := w.Migrate(t.Context(), control.MigrateOptions{Progress: func(_, _ int, p control.Place) { told = append(told, p.Name) }})
	if !errors.Is(err, control.ErrMigration) || !strings.Contains(err.Error(), "t-3") {
		t.Fatalf("got error %v, expected one that names t-3", err)
	}
	if len(a.migrated) != 6 || len(told) != 7 {
		t.Errorf("migrated %v and told of %v, expected the shared tables and all tenants but one", a.migrated, told)
	}
	places := must(w.Places(t.Context()))
	for _, p := range places {
		if failed := p.Failure != ""; failed != (p.Slug == bad) || p.Pending() != failed {
			t.Errorf("got %+v", p)
		}
	}
	delete(a.broken, bad)
	a.migrated = nil
	if err := w.Migrate(t.Context(), control.MigrateOptions{}); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(a.migrated) != "[t-3]" {
		t.Errorf("the second run migrated %v, expected what was left", a.migrated)
	}
	a.migrated = nil
	if err := w.Migrate(t.Context(), control.MigrateOptions{}); err != nil || len(a.migrated) != 0 {
		t.Errorf("a third run migrated %v, %v, expected nothing to do", a.migrated, err)
	}
}

func TestCanariesGoFirstAndTheirFailureStopsTheRest(t *testing.T) {
	w, a := agingWorld(t, 5)
	a.broken[tenant.MustSlug("t-0")] = true
	if err := w.Migrate(t.Context(), control.MigrateOptions{Canary: 2}); !errors.Is(err, control.ErrMigration) {
		t.Fatalf("got error %v, expected ErrMigration", err)
	}
	if len(a.migrated) != 1 {
		t.Errorf("migrated %v, expected one canary only", a.migrated)
	}
	a.migrated = nil
	only := tenant.MustSlug("t-4")
	if err := w.Migrate(t.Context(), control.MigrateOptions{Only: []tenant.Slug{only}}); err != nil || !slices.Equal(a.migrated, []string{"t-4"}) {
		t.Errorf("migrated %v, %v, expected t-4", a.migrated, err)
	}
	if err := w.Migrate(t.Context(), control.MigrateOptions{Only: []tenant.Slug{tenant.MustSlug("nobody")}}); !errors.Is(err, tenant.ErrNotFound) {
		t.Errorf("an unknown tenant: got error %v", err)
	}
}

func TestTwoRunsOfMigrationsCannotRace(t *testing.T) {
	w, a := agingWorld(t, 2)
	a.started, a.hold = make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() { first <- w.Migrate(t.Context(), control.MigrateOptions{}) }()
	a.started <- struct{}{} // the first run is inside a migration
	if err := w.Migrate(t.Context(), control.MigrateOptions{}); !errors.Is(err, control.ErrLocked) {
		t.Errorf("a second run: got error %v, expected ErrLocked", err)
	}
	close(a.hold)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if err := w.Migrate(t.Context(), control.MigrateOptions{}); err != nil {
		t.Errorf("after the lock was given back: %v", err)
	}
}
