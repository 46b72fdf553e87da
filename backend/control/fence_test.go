package control_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqlstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// beyondLease is how long a process is stopped: longer than any lease.
const beyondLease = 35 * time.Second

// stopped are two processes on one catalog, by one clock.
type stopped struct {
	first, second *world
	clock         atomic.Int64 // seconds
}

func newStopped(t *testing.T) *stopped {
	t.Helper()
	s := &stopped{}
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now := func() time.Time { return start.Add(time.Duration(s.clock.Load()) * time.Second) }
	dir := t.TempDir()
	s.first, s.second = worldIn(t, dir, options{now: now}), worldIn(t, dir, options{now: now})
	return s
}

// pointsOf are the points between the steps of some work, in their order.
func pointsOf(t *testing.T, setUp func(*testing.T, *stopped), work func(context.Context, *world) error) (points []string) {
	t.Helper()
	s := newStopped(t)
	setUp(t, s)
	s.first.CrashAt(func(point string) { points = append(points, point) })
	if err := work(t.Context(), s.first); err != nil {
		t.Fatal(err)
	}
	return points
}

// stopAtEvery does some work once for each point between its steps. There the
// process is stopped for longer than its lease, while meanwhile is done; then it
// goes on, and after is to find nothing spoilt.
func stopAtEvery(t *testing.T, setUp func(*testing.T, *stopped), work func(context.Context, *world) error, meanwhile, after func(*testing.T, *stopped)) {
	t.Helper()
	for i, point := range pointsOf(t, setUp, work) {
		t.Run(fmt.Sprintf("%d %s", i, point), func(t *testing.T) {
			s := newStopped(t)
			setUp(t, s)
			at := 0
			s.first.CrashAt(func(string) {
				if at == i {
					s.clock.Add(int64(beyondLease / time.Second))
					meanwhile(t, s)
				}
				at++
			})
			if err := work(t.Context(), s.first); err == nil {
				t.Error("the process that had lost its lease says that it has done the work")
			}
			after(t, s)
		})
	}
}

func TestAMoveWhoseProcessWasStoppedForLongerThanItsLeaseSpoilsNothing(t *testing.T) {
	for _, way := range [][2]petstore.Isolation{{petstore.Shared, petstore.Database}, {petstore.Database, petstore.Shared}, {petstore.Schema, petstore.Database}} {
		from, to := way[0], way[1]
		t.Run(string(from)+" to "+string(to), func(t *testing.T) {
			setUp := func(t *testing.T, s *stopped) {
				s.second.create(t, control.New{Slug: "acme", Isolation: string(from)})
				s.second.addPets(t, acme, 5)
			}
			move := func(ctx context.Context, w *world) error { return w.Move(ctx, acme, to) }
			stopAtEvery(t, setUp, move, func(t *testing.T, s *stopped) {
				if _, err := s.second.ResumeMoves(t.Context()); err != nil {
					t.Fatal(err)
				}
				s.second.refresh(t)
				s.second.addPets(t, acme, 1)
			}, func(t *testing.T, s *stopped) {
				if _, err := s.second.ResumeMoves(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := s.second.names(t, acme); len(got) != 7 {
					t.Errorf("%d pets are there, 7 were acknowledged", len(got))
				}
				s.second.addPets(t, acme, 1) // the place is not frozen
				at := must(s.second.Get(t.Context(), acme)).Isolation
				for _, i := range petstore.Isolations {
					_, err := s.second.store.PetsIn(acme, i).List(t.Context(), petstore.Query{})
					if (i == at) != (err == nil) {
						t.Errorf("in %q: got error %v; the tenant is in %q", i, err, at)
					}
				}
			})
		})
	}
}

// The other process not only undoes the move, but begins one of its own.
func TestAMoveThatAnotherProcessMakesInstead(t *testing.T) {
	setUp := func(t *testing.T, s *stopped) {
		s.second.create(t, control.New{Slug: "acme"})
		s.second.addPets(t, acme, 5)
	}
	move := func(ctx context.Context, w *world) error { return w.Move(ctx, acme, petstore.Database) }
	stopAtEvery(t, setUp, move, func(t *testing.T, s *stopped) {
		if _, err := s.second.ResumeMoves(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, to := range []petstore.Isolation{petstore.Database, petstore.Schema} {
			if err := s.second.Move(t.Context(), acme, to); err != nil {
				t.Fatal(err)
			}
			s.second.refresh(t)
			s.second.addPets(t, acme, 1)
		}
	}, func(t *testing.T, s *stopped) {
		if got := s.second.names(t, acme); len(got) != 8 {
			t.Errorf("%d pets are there, 8 were acknowledged", len(got))
		}
		s.second.addPets(t, acme, 1)
		if at := must(s.second.Get(t.Context(), acme)).Isolation; at != petstore.Schema {
			t.Errorf("the tenant is in %q, expected schema", at)
		}
	})
}

func TestATenantWhoseCreatorWasStoppedIsSetUpOnce(t *testing.T) {
	for _, i := range []petstore.Isolation{petstore.Shared, petstore.Database} {
		t.Run(string(i), func(t *testing.T) {
			create := func(ctx context.Context, w *world) error {
				_, err := w.Create(ctx, control.New{Slug: "acme", Isolation: string(i), AdminEmail: "ada@example.com"}, "key-1")
				return err
			}
			stopAtEvery(t, func(*testing.T, *stopped) {}, create, func(t *testing.T, s *stopped) {
				if _, err := s.second.Resume(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
				s.second.refresh(t)
				s.second.addPets(t, acme, 1)
			}, func(t *testing.T, s *stopped) {
				if got := s.second.names(t, acme); len(got) != 2 {
					t.Errorf("got pets %q, expected the sample and one", got)
				}
				var box counter
				if n, err := s.second.Deliver(t.Context(), &box); n != 1 || err != nil {
					t.Errorf("delivered %d mails, %v, expected one", n, err)
				}
			})
		})
	}
}

// Between its claim and its rows, and at every other moment, an import may be
// given up by another process, and its slug be taken by somebody else.
func TestAnImportThatWasGivenUpLeavesNothingToTheNextTenantOfItsSlug(t *testing.T) {
	copied := tenant.MustSlug("copied")
	for _, i := range petstore.Isolations {
		t.Run(string(i), func(t *testing.T) {
			var archive bytes.Buffer
			setUp := func(t *testing.T, s *stopped) {
				s.second.create(t, control.New{Slug: "acme"})
				s.second.addPets(t, acme, 3)
				archive.Reset()
				if err := s.second.Export(t.Context(), acme, &archive); err != nil {
					t.Fatal(err)
				}
			}
			load := func(ctx context.Context, w *world) error {
				_, err := w.Import(ctx, bytes.NewReader(archive.Bytes()), "copied", string(i))
				return err
			}
			stopAtEvery(t, setUp, load, func(t *testing.T, s *stopped) {
				if _, err := s.second.Resume(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
				s.second.create(t, control.New{Slug: "copied", Isolation: string(i)})
			}, func(t *testing.T, s *stopped) {
				if got := s.second.names(t, copied); len(got) != 1 || got[0] != "Sample" {
					t.Errorf("the next tenant of the slug has %q, expected its own sample", got)
				}
			})
		})
	}
}

func TestRowsThatAreNobodysDoNotBecomeANewTenants(t *testing.T) {
	for _, i := range petstore.Isolations {
		t.Run(string(i), func(t *testing.T) {
			w := newWorld(t, options{})
			if err := w.store.Create(t.Context(), acme, i); err != nil { // as an older program left them
				t.Fatal(err)
			}
			if _, err := w.store.PetsIn(acme, i).Create(t.Context(), petstore.Pet{Name: "Left", Species: "cat"}); err != nil {
				t.Fatal(err)
			}
			w.create(t, control.New{Slug: "acme", Isolation: string(i)})
			if got := w.names(t, acme); len(got) != 1 || got[0] != "Sample" {
				t.Errorf("got %q, expected the sample alone", got)
			}
		})
	}
}

func TestAPurgeWhoseProcessWasStoppedRemovesNoTenantThatLives(t *testing.T) {
	setUp := func(t *testing.T, s *stopped) {
		s.second.create(t, control.New{Slug: "acme", Isolation: "schema"})
		gone := tenant.Deactivated
		if _, err := s.second.Change(t.Context(), acme, control.Patch{Status: &gone}); err != nil {
			t.Fatal(err)
		}
	}
	purge := func(ctx context.Context, w *world) error { return w.Purge(ctx, acme, "acme") }
	stopAtEvery(t, setUp, purge, func(t *testing.T, s *stopped) {
		s.second.exec(t, `UPDATE tenants SET status = 'active', purge_at = 0 WHERE slug = 'acme'`)
		s.second.exec(t, `UPDATE catalog_locks SET holder = 'another 1 x'`)
	}, func(t *testing.T, s *stopped) {
		if got := must(s.second.Get(t.Context(), acme)).Status; got != tenant.Active {
			t.Errorf("got status %s, expected active", got)
		}
	})
}

// pausing stops in the middle of a step, when the lease was checked already.
type pausing struct {
	*sqlstore.Store
	pause func()
}

func (p *pausing) Load(ctx context.Context, t tenant.Slug, i petstore.Isolation, all func(add func(petstore.Pet) error) error) error {
	p.pause()
	return p.Store.Load(ctx, t, i, all)
}

func TestNobodyTakesTheLeaseInTheMiddleOfAStep(t *testing.T) {
	s := newStopped(t)
	s.second.create(t, control.New{Slug: "acme"})
	var during error
	s.first.UseStorage(&pausing{s.first.store, func() {
		s.clock.Add(int64(beyondLease / time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, during = s.second.ResumeMoves(ctx)
	}})
	if err := s.first.Move(t.Context(), acme, petstore.Database); err != nil {
		t.Fatal(err)
	}
	if during == nil {
		t.Error("another process took the lease while a step was under way")
	}
	if got := s.second.names(t, acme); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

// A transaction that does not ask for its lease would get past all of the above.
func TestEveryTransactionOfTheControlPlaneChecksItsLease(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	direct := regexp.MustCompile(`\.db\.(Update|Hold|Pool)\(`)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]int{"lock.go": 3, "fence.go": 2, "catalog.go": 1}[name]
		if got := len(direct.FindAll(text, -1)); got != want {
			t.Errorf("%s begins %d transactions by itself, expected %d: use write, change or step", name, got, want)
		}
	}
}
