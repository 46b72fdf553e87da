package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
)

var isolationCases = []Case{
	{"a tenant cannot read another's pet", pair(func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error {
		_, err := a.Get(ctx, ofB.ID)
		return errors.Join(is("reading another's pet", err, petstore.ErrNotFound), unchanged(ctx, b, ofB))
	})},
	{"a tenant cannot change another's pet", pair(func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error {
		_, err := a.Change(ctx, ofB.ID, func(p *petstore.Pet) error { p.Name = "Stolen"; return nil })
		return errors.Join(is("changing another's pet", err, petstore.ErrNotFound), unchanged(ctx, b, ofB))
	})},
	{"a tenant cannot delete another's pet", pair(func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error {
		return errors.Join(is("deleting another's pet", a.Delete(ctx, ofB.ID), petstore.ErrNotFound), unchanged(ctx, b, ofB))
	})},
	{"a tenant cannot list or count another's pets", pair(func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error {
		list, err := all(ctx, a, petstore.Query{WithDeleted: true})
		if err != nil || len(list) != 1 || list[0].ID != ofA.ID {
			return fmt.Errorf("listing: got %v, %w", list, err)
		}
		list, err = all(ctx, a, petstore.Query{Species: ofB.Species})
		if err != nil || len(list) != 0 {
			return fmt.Errorf("listing another's species: got %v, %w", list, err)
		}
		return nil
	})},
	{"a tenant cannot page into another's pets", pair(func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error {
		for i := range 7 {
			for _, pets := range []petstore.Pets{a, b} {
				if _, err := pets.Create(ctx, petstore.Pet{Name: fmt.Sprint("Pet ", i), Species: "cat"}); err != nil {
					return err
				}
			}
		}
		// Beginning after another's id must show own pets only, wherever that
		// id sorts.
		for _, q := range []petstore.Query{{Limit: 2}, {Limit: 3, After: ofB.ID}, {Limit: 2, Species: "cat", After: "0"}} {
			list, err := all(ctx, a, q)
			if err != nil {
				return err
			}
			if q.After != ofB.ID && len(list) < 7 {
				return fmt.Errorf("paging with %+v: got %d pets, expected at least 7", q, len(list))
			}
			for _, p := range list {
				if _, err := a.Get(ctx, p.ID); err != nil {
					return fmt.Errorf("paging with %+v showed a pet that is not the tenant's: %w", q, err)
				}
			}
		}
		return nil
	})},
	{"the same id may exist in two tenants", pair(func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error {
		twin, err := b.Create(ctx, petstore.Pet{ID: ofA.ID, Name: "Twin", Species: "dog"})
		if err != nil {
			return fmt.Errorf("creating a pet of an id that another tenant uses: %w", err)
		}
		if _, err := a.Change(ctx, ofA.ID, func(p *petstore.Pet) error { p.Name = "Changed"; return nil }); err != nil {
			return err
		}
		if err := unchanged(ctx, b, twin); err != nil {
			return fmt.Errorf("after changing the other twin: %w", err)
		}
		if err := a.Delete(ctx, ofA.ID); err != nil {
			return err
		}
		if err := unchanged(ctx, b, twin); err != nil {
			return fmt.Errorf("after deleting the other twin: %w", err)
		}
		return nil
	})},
	{"a write that carries another tenant's name is refused", pair(func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error {
		_, err := a.Create(ctx, petstore.Pet{Tenant: ofB.Tenant, Name: "Cuckoo", Species: "bird"})
		if err := is("creating", err, petstore.ErrForeignTenant); err != nil {
			return err
		}
		_, err = a.Change(ctx, ofA.ID, func(p *petstore.Pet) error { p.Tenant = ofB.Tenant; return nil })
		if err := is("changing", err, petstore.ErrForeignTenant); err != nil {
			return err
		}
		list, err := all(ctx, b, petstore.Query{WithDeleted: true})
		if err != nil || len(list) != 1 {
			return fmt.Errorf("the other tenant's pets: got %v, %w", list, err)
		}
		return unchanged(ctx, a, ofA)
	})},
	{"an unknown tenant finds nothing and can write nothing", func(ctx context.Context, f Fixture) error {
		if err := nothing(ctx, f.Store.Pets(fresh())); err != nil {
			return err
		}
		return nothing(ctx, f.Store.Pets(fresh()))
	}},
	{"a removed tenant leaves nothing behind and others untouched", func(ctx context.Context, f Fixture) error {
		a, b, ofA, ofB, err := two(ctx, f)
		if err != nil {
			return err
		}
		for range 2 { // also when repeated after a crash
			if err := f.Remove(ctx, ofA.Tenant); err != nil {
				return err
			}
		}
		if err := nothing(ctx, a); err != nil {
			return err
		}
		if err := unchanged(ctx, b, ofB); err != nil {
			return err
		}
		if err := f.Create(ctx, ofA.Tenant); err != nil {
			return err
		}
		list, err := all(ctx, a, petstore.Query{WithDeleted: true})
		if err != nil || len(list) != 0 {
			return fmt.Errorf("a tenant made again: got %v, %w", list, err)
		}
		return nil
	}},
	{"making a tenant again keeps its pets", func(ctx context.Context, f Fixture) error {
		a, _, ofA, _, err := two(ctx, f)
		if err != nil {
			return err
		}
		if err := f.Create(ctx, ofA.Tenant); err != nil {
			return err
		}
		return unchanged(ctx, a, ofA)
	}},
}

// nothing demands that every method says that the tenant does not exist.
func nothing(ctx context.Context, pets petstore.Pets) error {
	id := strings.Repeat("a", 26)
	_, listErr := pets.List(ctx, petstore.Query{})
	_, getErr := pets.Get(ctx, id)
	_, createErr := pets.Create(ctx, petstore.Pet{Name: "Ghost", Species: "cat"})
	_, changeErr := pets.Change(ctx, id, func(*petstore.Pet) error { return nil })
	for what, err := range map[string]error{"listing": listErr, "reading": getErr, "creating": createErr, "changing": changeErr, "deleting": pets.Delete(ctx, id)} {
		if err := is(what+" without a tenant", err, petstore.ErrNoTenant); err != nil {
			return err
		}
	}
	return nil
}
