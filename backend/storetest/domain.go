package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
)

var domainCases = []Case{
	{"a pet comes back as it was written", func(ctx context.Context, f Fixture) error {
		slugs, err := tenants(ctx, f, 1)
		if err != nil {
			return err
		}
		pets := f.Store.Pets(slugs[0])
		written, err := pets.Create(ctx, petstore.Pet{Name: "Zoë 'O\"Malley' %_", Species: "çat", Breed: "Norse; DROP TABLE pets",
			Tags: []string{"a,b", `"`, "🐈"}, BirthDate: "2020-02-29", MicrochipID: "985112345678903"})
		if err != nil {
			return err
		}
		if written.Tenant != slugs[0] || written.ID == "" || written.CreatedAt.IsZero() || written.CreatedAt != written.UpdatedAt {
			return fmt.Errorf("created pet lacks what the store sets: %+v", written)
		}
		return unchanged(ctx, pets, written)
	}},
	{"an invalid pet is refused with every field named", func(ctx context.Context, f Fixture) error {
		slugs, err := tenants(ctx, f, 1)
		if err != nil {
			return err
		}
		_, err = f.Store.Pets(slugs[0]).Create(ctx, petstore.Pet{Name: strings.Repeat("x", 101), Tags: []string{"a", "a"}, BirthDate: "2021-02-30"})
		var invalid *petstore.Invalid
		if !errors.As(err, &invalid) {
			return fmt.Errorf("got error %w, expected *Invalid", err)
		}
		for _, field := range []string{"name", "species", "tags[1]", "birth_date"} {
			if !strings.Contains(err.Error(), `"`+field+`"`) {
				return fmt.Errorf("the error does not name %q: %w", field, err)
			}
		}
		return nil
	}},
	{"an id is taken once in one tenant", pair(func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error {
		_, err := a.Create(ctx, petstore.Pet{ID: ofA.ID, Name: "Copy", Species: "dog"})
		return errors.Join(is("creating a pet of an id in use", err, petstore.ErrExists), unchanged(ctx, a, ofA))
	})},
	{"a microchip is taken once in one tenant", pair(func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error {
		chip := func(p *petstore.Pet) error { p.MicrochipID = "985112345678903"; return nil }
		if _, err := a.Change(ctx, ofA.ID, chip); err != nil {
			return err
		}
		if _, err := b.Change(ctx, ofB.ID, chip); err != nil {
			return fmt.Errorf("using a chip that another tenant uses: %w", err)
		}
		_, err := a.Create(ctx, petstore.Pet{Name: "Copy", Species: "dog", MicrochipID: "985112345678903"})
		if err := is("creating a second pet with a chip", err, petstore.ErrExists); err != nil {
			return err
		}
		if err := a.Delete(ctx, ofA.ID); err != nil {
			return err
		}
		_, err = a.Create(ctx, petstore.Pet{Name: "Heir", Species: "dog", MicrochipID: "985112345678903"})
		return err
	})},
	{"a change keeps what it does not touch", pair(func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error {
		changed, err := a.Change(ctx, ofA.ID, func(p *petstore.Pet) error {
			p.Breed, p.ID = "Collie", "another"
			return nil
		})
		if err != nil {
			return err
		}
		if changed.Breed != "Collie" || changed.Name != ofA.Name || changed.ID != ofA.ID || changed.CreatedAt != ofA.CreatedAt {
			return fmt.Errorf("got %+v after changing the breed of %+v", changed, ofA)
		}
		return unchanged(ctx, a, changed)
	})},
	{"a change that fails writes nothing", pair(func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error {
		stop := errors.New("stop")
		_, err := a.Change(ctx, ofA.ID, func(p *petstore.Pet) error { p.Name = "Nobody"; return stop })
		if err := is("a change that fails", err, stop); err != nil {
			return err
		}
		_, err = a.Change(ctx, ofA.ID, func(p *petstore.Pet) error { p.Name = ""; return nil })
		return errors.Join(is("a change that makes the pet invalid", err, petstore.ErrInvalid), unchanged(ctx, a, ofA))
	})},
	{"a deleted pet is gone and can be listed on request", pair(func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error {
		if err := a.Delete(ctx, ofA.ID); err != nil {
			return err
		}
		_, getErr := a.Get(ctx, ofA.ID)
		_, changeErr := a.Change(ctx, ofA.ID, func(*petstore.Pet) error { return nil })
		for what, err := range map[string]error{"reading": getErr, "changing": changeErr, "deleting again": a.Delete(ctx, ofA.ID)} {
			if err := is(what+" a deleted pet", err, petstore.ErrNotFound); err != nil {
				return err
			}
		}
		list, err := all(ctx, a, petstore.Query{})
		if err != nil || len(list) != 0 {
			return fmt.Errorf("listing after the delete: got %v, %w", list, err)
		}
		list, err = all(ctx, a, petstore.Query{WithDeleted: true})
		if err != nil || len(list) != 1 || list[0].DeletedAt.IsZero() {
			return fmt.Errorf("listing with deleted pets: got %v, %w", list, err)
		}
		return nil
	})},
	{"a listing can be narrowed to a species", pair(func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error {
		for _, species := range []string{"cat", "dog", "dogfish"} {
			if _, err := a.Create(ctx, petstore.Pet{Name: "Another", Species: species}); err != nil {
				return err
			}
		}
		list, err := all(ctx, a, petstore.Query{Species: "dog", Limit: 1})
		if err != nil || len(list) != 2 || list[0].ID != ofA.ID {
			return fmt.Errorf("listing dogs: got %v, %w", list, err)
		}
		return nil
	})},
	{"a page size out of bounds is refused", pair(func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error {
		for _, limit := range []int{-1, petstore.MaxPage + 1} {
			_, err := a.List(ctx, petstore.Query{Limit: limit})
			if err := is("listing", err, petstore.ErrInvalid); err != nil {
				return err
			}
		}
		return nil
	})},
	{"a species that no pet can have is refused", pair(func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error {
		for _, species := range []string{"a\x00", "\xff", strings.Repeat("x", petstore.MaxSpecies+1)} {
			_, err := a.List(ctx, petstore.Query{Species: species})
			if err := is(fmt.Sprintf("listing species %q", species), err, petstore.ErrInvalid); err != nil {
				return err
			}
		}
		return nil
	})},
	{"an id that breaks the grammar names no pet", pair(func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error {
		for _, id := range []string{"", "' OR 1=1 --", "../x", "A", strings.Repeat("a", 65), "a\x00"} {
			_, err := a.Get(ctx, id)
			if err := is(fmt.Sprintf("reading %q", id), err, petstore.ErrNotFound); err != nil {
				return err
			}
		}
		return nil
	})},
}
