package sqlstore

import (
	"context"
	"fmt"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// What moving, exporting and importing a tenant needs: access to one place
// whatever the router says.

// PetsIn returns t's pets in one place.
func (s *Store) PetsIn(t tenant.Slug, i petstore.Isolation) petstore.Pets {
	fixed := *s
	fixed.route = Always(i)
	return pets{&fixed, t}
}

// Make makes what holds t's tables, if it is missing, without the tables.
func (s *Store) Make(ctx context.Context, t tenant.Slug, i petstore.Isolation) error {
	p, err := s.place(i)
	if err != nil {
		return err
	}
	if err := p.engine.create(ctx, i, t); err != nil {
		return fmt.Errorf("creating the place of tenant %q: %w", t, err)
	}
	return nil
}

// CreateFrozen is Create for a place that takes no writes yet.
func (s *Store) CreateFrozen(ctx context.Context, t tenant.Slug, i petstore.Isolation) error {
	return s.createIn(ctx, t, i, stateFrozen)
}

// Freeze stops writes to t's place. When it returns, no write is under way.
func (s *Store) Freeze(ctx context.Context, t tenant.Slug, i petstore.Isolation) error {
	return s.setState(ctx, t, i, stateFrozen)
}

// Thaw lets writes in again.
func (s *Store) Thaw(ctx context.Context, t tenant.Slug, i petstore.Isolation) error {
	return s.setState(ctx, t, i, stateOpen)
}

func (s *Store) setState(ctx context.Context, t tenant.Slug, i petstore.Isolation, state string) error {
	p, err := s.place(i)
	if err != nil {
		return err
	}
	err = p.update(ctx, t, func(c sqldb.Conn) error {
		n, err := sqldb.Affected(ctx, c, spaceSet, t.String(), state)
		if err == nil && n == 0 {
			return petstore.ErrNoTenant
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("making the place of tenant %q %s: %w", t, state, err)
	}
	return nil
}

// Rows calls f with every pet of t in one place, also the deleted ones,
// ordered by id.
func (s *Store) Rows(ctx context.Context, t tenant.Slug, i petstore.Isolation, f func(petstore.Pet) error) error {
	p, err := s.place(i)
	if err != nil {
		return err
	}
	err = p.view(ctx, t, func(c sqldb.Conn) error {
		if err := s.check(ctx, c, p, t, false); err != nil {
			return err
		}
		owner := pets{s, t}
		return sqldb.Each(ctx, c, func(scan sqldb.Scan) error {
			pet, err := owner.scan(scan)
			if err != nil {
				return err
			}
			return f(pet)
		}, petsAll, t.String())
	})
	if err != nil {
		return fmt.Errorf("reading all pets of tenant %q: %w", t, err)
	}
	return nil
}

// Load adds pets to one place as they are, with their ids and times, frozen or
// not: all of them or none. A pet of another tenant is refused.
func (s *Store) Load(ctx context.Context, t tenant.Slug, i petstore.Isolation, all func(add func(petstore.Pet) error) error) error {
	p, err := s.place(i)
	if err != nil {
		return err
	}
	owner := pets{s, t}
	err = p.update(ctx, t, func(c sqldb.Conn) error {
		if err := s.check(ctx, c, p, t, false); err != nil {
			return err
		}
		return all(func(pet petstore.Pet) error {
			if err := owner.own(pet); err != nil {
				return err
			}
			if !petstore.ValidID(pet.ID) {
				return fmt.Errorf("loading pet %.80q: %w id", pet.ID, petstore.ErrInvalid)
			}
			if err := pet.Validate(s.now()); err != nil {
				return fmt.Errorf("loading pet %q: %w", pet.ID, err)
			}
			return sqldb.Exec(ctx, c, s.sql.insert, columnsOf(t, pet)...)
		})
	})
	if err != nil {
		return fmt.Errorf("loading pets of tenant %q: %w", t, err)
	}
	return nil
}
