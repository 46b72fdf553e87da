package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func TestFullDiskIsUnavailableForWritesAndPassesWithoutARestart(t *testing.T) {
	s := sqliteStore(t, petstore.Shared)
	slug := tenant.MustSlug("acme")
	if err := s.Create(t.Context(), slug, petstore.Shared); err != nil {
		t.Fatal(err)
	}
	pets := s.Pets(slug)
	writer := s.places[petstore.Shared].engine.pool(petstore.Shared).Pool()
	limit := func(pages int) {
		t.Helper()
		// The engine then fails as on a full disk: SQLITE_FULL.
		if _, err := writer.ExecContext(t.Context(), fmt.Sprint("PRAGMA max_page_count = ", pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // no smaller than the file is now
	var kept int
	var err error
	for kept = 0; kept < 1000 && err == nil; kept++ {
		_, err = pets.Create(t.Context(), petstore.Pet{Name: "Rex", Species: "dog", Breed: "Collie"})
	}
	if !errors.Is(err, petstore.ErrUnavailable) {
		t.Fatalf("got error %v, expected ErrUnavailable", err)
	}
	if page, err := pets.List(t.Context(), petstore.Query{Limit: 100}); err != nil || len(page.Pets) != min(kept-1, 100) {
		t.Errorf("reading on a full disk: got %d pets, %v, expected %d", len(page.Pets), err, kept-1)
	}
	limit(1 << 30)
	if _, err := pets.Create(t.Context(), petstore.Pet{Name: "Max", Species: "dog"}); err != nil {
		t.Errorf("after room was made: %v", err)
	}
}

func TestPostgresThatIsGoneIsUnavailableAndPassesWithoutARestart(t *testing.T) {
	server := startPostgres(t)
	slug := tenant.MustSlug("acme")
	stores := map[petstore.Isolation]*Store{}
	for _, i := range petstore.Isolations {
		s := server.open(t, i)
		if err := s.Create(t.Context(), slug, i); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Pets(slug).Create(t.Context(), petstore.Pet{Name: "Rex", Species: "dog"}); err != nil {
			t.Fatal(err)
		}
		stores[i] = s
	}
	server.server.Kill()
	list := func(s *Store) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := s.Pets(slug).List(ctx, petstore.Query{})
		return err
	}
	for i, s := range stores {
		// The killed server's children may still answer for a moment; five
		// failures in a row are the server's absence.
		failures := 0
		for deadline := time.Now().Add(20 * time.Second); failures < 5; time.Sleep(5 * time.Millisecond) {
			switch err := list(s); {
			case errors.Is(err, petstore.ErrUnavailable):
				failures++
			case err == nil && time.Now().Before(deadline):
				failures = 0
			default:
				t.Fatalf("%s: got error %v, expected ErrUnavailable", i, err)
			}
		}
	}
	server.server.Start()
	// A server refuses to start while processes of the killed one still end.
	restart := func() {
		if server.server.Ended() {
			server.server.Start()
		}
	}
	for i, s := range stores {
		var err error
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if _, err = s.Pets(slug).List(t.Context(), petstore.Query{}); err == nil {
				break
			}
			if !errors.Is(err, petstore.ErrUnavailable) {
				t.Fatalf("%s: got error %v while the server starts", i, err)
			}
			restart()
		}
		if err != nil {
			t.Fatalf("%s: not back: %v", i, err)
		}
	}
}

func TestTablesThatAreBehindAreSaidToBe(t *testing.T) {
	s := sqliteStore(t, petstore.Schema)
	slug := tenant.MustSlug("acme")
	if err := s.Create(t.Context(), slug, petstore.Schema); err != nil {
		t.Fatal(err)
	}
	s.target++ // as a newer program would have it
	_, err := s.Pets(slug).List(t.Context(), petstore.Query{})
	if !errors.Is(err, petstore.ErrBehind) {
		t.Errorf("got error %v, expected ErrBehind", err)
	}
	s.target--
	if _, err := s.Pets(slug).List(t.Context(), petstore.Query{}); err != nil {
		t.Errorf("after the migration: %v", err)
	}
}
