package control_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqlstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func TestArchiveBecomesTheSameTenantInAnyPlace(t *testing.T) {
	w := newWorld(t, options{})
	w.create(t, control.New{Slug: "acme", Plan: "premium"})
	w.addPets(t, acme, 30)
	if _, err := w.SetConfig(t.Context(), acme, "page_size", json.RawMessage("9")); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := w.Export(t.Context(), acme, &archive); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint(w.names(t, acme))
	for _, i := range petstore.Isolations {
		created, err := w.Import(t.Context(), bytes.NewReader(archive.Bytes()), "copy-"+string(i), string(i))
		if err != nil {
			t.Fatal(err)
		}
		got := created.Tenant
		if got.Plan != "premium" || got.Config.PageSize != 9 || got.Isolation != i || got.Status != tenant.Active {
			t.Errorf("got %+v", got)
		}
		if names := fmt.Sprint(w.names(t, got.Slug)); names != want {
			t.Errorf("got pets %s, expected %s", names, want)
		}
	}
	if _, err := w.Import(t.Context(), bytes.NewReader(archive.Bytes()), "", ""); !errors.Is(err, control.ErrTaken) {
		t.Errorf("importing over a tenant: got error %v, expected ErrTaken", err)
	}
	// Any damage: nothing is left of the attempt.
	const gzipHeader = 10 // its time and operating system carry nothing
	for i := gzipHeader; i < archive.Len(); i += max(1, archive.Len()/30) {
		damaged := bytes.Clone(archive.Bytes())
		damaged[i] ^= 0x55
		if _, err := w.Import(t.Context(), bytes.NewReader(damaged), "damaged", "shared"); !errors.Is(err, control.ErrArchive) {
			t.Errorf("byte %d changed: got error %v, expected ErrArchive", i, err)
		}
		if _, err := w.Get(t.Context(), tenant.MustSlug("damaged")); !errors.Is(err, tenant.ErrNotFound) {
			t.Fatalf("byte %d changed: a half tenant is left: %v", i, err)
		}
	}
}

// lossy loses one pet on the way.
type lossy struct{ *sqlstore.Store }

func (l lossy) Load(ctx context.Context, t tenant.Slug, i petstore.Isolation, all func(add func(petstore.Pet) error) error) error {
	return l.Store.Load(ctx, t, i, func(add func(petstore.Pet) error) error {
		lost := false
		return all(func(p petstore.Pet) error {
			if !lost {
				lost = true
				return nil
			}
			return add(p)
		})
	})
}

func TestMoveIsUndoneWhenTheCopyDiffers(t *testing.T) {
	w := newWorld(t, options{storage: func(s *sqlstore.Store) control.Storage { return lossy{s} }})
	w.create(t, control.New{Slug: "acme"})
	w.addPets(t, acme, 4)
	want := fmt.Sprint(w.names(t, acme))
	if err := w.Move(t.Context(), acme, petstore.Database); !errors.Is(err, control.ErrDiffers) {
		t.Fatalf("got error %v, expected ErrDiffers", err)
	}
	if got := fmt.Sprint(w.names(t, acme)); got != want {
		t.Errorf("got pets %s, expected %s", got, want)
	}
	w.addPets(t, acme, 1) // writes are let in again
	if _, err := w.store.PetsIn(acme, petstore.Database).List(t.Context(), petstore.Query{}); !errors.Is(err, petstore.ErrNoTenant) {
		t.Errorf("the copy is still there: %v", err)
	}
}

func TestTenantIsReadWhileItMovesAndNoAcknowledgedWriteIsLost(t *testing.T) {
	w := newWorld(t, options{})
	w.create(t, control.New{Slug: "acme"})
	w.addPets(t, acme, 20)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	written := 0
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			_, err := w.store.Pets(acme).Create(t.Context(), petstore.Pet{Name: "Late", Species: "dog"})
			switch {
			case err == nil:
				written++
			case !errors.Is(err, petstore.ErrFrozen):
				t.Errorf("writing during a move: %v", err)
			}
		}
	})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if page, err := w.store.Pets(acme).List(t.Context(), petstore.Query{Limit: 20, WithDeleted: true}); err != nil || len(page.Pets) < 20 {
				t.Errorf("reading during a move: %d pets, %v", len(page.Pets), err)
			}
		}
	})
	for _, to := range []petstore.Isolation{petstore.Schema, petstore.Database, petstore.Shared} {
		if err := w.Move(t.Context(), acme, to); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
	if got := len(w.names(t, acme)); got != 21+written {
		t.Errorf("got %d pets, expected %d", got, 21+written)
	}
}

// rewriteManifest returns the archive with one text of its manifest replaced.
func rewriteManifest(t *testing.T, archive []byte, from, to string) []byte {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	in := tar.NewReader(zipped)
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	for {
		head, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if head.Name == "manifest.json" {
			if !bytes.Contains(text, []byte(from)) {
				t.Fatalf("no %s in %s", from, text)
			}
			text = bytes.Replace(text, []byte(from), []byte(to), 1)
		}
		head.Size = int64(len(text))
		if err := w.WriteHeader(head); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
