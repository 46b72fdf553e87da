package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// smallStore has tenants t-0, t-1, ... with databases of their own, of which
// few may be open.
func smallStore(t *testing.T, tenants, open int) (*Store, []tenant.Slug) {
	t.Helper()
	s := sqliteStore(t, petstore.Database)
	s.places[petstore.Database] = newPlace(s.places[petstore.Database].engine, petstore.Database, open)
	slugs := make([]tenant.Slug, tenants)
	for i := range slugs {
		slugs[i] = tenant.MustSlug(fmt.Sprint("t-", i))
		if err := s.Create(t.Context(), slugs[i], petstore.Database); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Pets(slugs[i]).Create(t.Context(), petstore.Pet{Name: slugs[i].String(), Species: "cat"}); err != nil {
			t.Fatal(err)
		}
	}
	return s, slugs
}

func TestManyTenantsShareFewHandles(t *testing.T) {
	const most = 3
	s, slugs := smallStore(t, 12, most)
	handles := s.places[petstore.Database].handles
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 15 {
				slug := slugs[(i*7+w)%len(slugs)]
				page, err := s.Pets(slug).List(t.Context(), petstore.Query{})
				if err != nil || len(page.Pets) != 1 || page.Pets[0].Name != slug.String() {
					t.Errorf("tenant %q: got %v, %v", slug, page, err)
				}
				if n := handles.opened(); n > most {
					t.Errorf("%d databases open, expected at most %d", n, most)
				}
			}
		})
	}
	wg.Wait()
}

func TestRequestWaitsForAHandleNoLongerThanItsContext(t *testing.T) {
	s, slugs := smallStore(t, 2, 1)
	err := s.view(t.Context(), slugs[0], func(sqldb.Conn) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Pets(slugs[1]).List(ctx, petstore.Query{})
		return err
	})
	if !errors.Is(err, petstore.ErrUnavailable) && !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, expected that no handle is free", err)
	}
	if _, err := s.Pets(slugs[1]).List(t.Context(), petstore.Query{}); err != nil {
		t.Errorf("after the handle became free: %v", err)
	}
}

func TestRemovalWaitsForRequestsAndNoHandleLeaks(t *testing.T) {
	s, slugs := smallStore(t, 3, 2)
	inside, leave := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := s.view(t.Context(), slugs[0], func(sqldb.Conn) error {
			close(inside)
			<-leave
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-inside
	removed := make(chan error, 1)
	wg.Go(func() { removed <- s.Remove(t.Context(), slugs[0], petstore.Database) })
	select {
	case err := <-removed:
		t.Errorf("the removal did not wait for the request: %v", err)
	default:
	}
	close(leave)
	if err := <-removed; err != nil {
		t.Error(err)
	}
	wg.Wait()
	if _, err := s.Pets(slugs[0]).List(t.Context(), petstore.Query{}); !errors.Is(err, petstore.ErrNoTenant) {
		t.Errorf("got error %v, expected ErrNoTenant", err)
	}
	handles := s.places[petstore.Database].handles
	if err := handles.close(); err != nil {
		t.Fatal(err)
	}
	if n := handles.opened(); n != 0 {
		t.Errorf("%d slots still taken after closing", n)
	}
}

// opened is the number of databases that are open, opening or closing.
func (h *handles) opened() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count
}
