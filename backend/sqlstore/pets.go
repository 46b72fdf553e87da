package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// pets implements [petstore.Pets].
type pets struct {
	store  *Store
	tenant tenant.Slug
}

func (p pets) List(ctx context.Context, q petstore.Query) (page petstore.Page, err error) {
	if q.Limit == 0 {
		q.Limit = petstore.DefaultPage
	}
	if q.Limit < 1 || q.Limit > petstore.MaxPage {
		return page, fmt.Errorf("listing pets: %w", petstore.InvalidField("limit", "expected 1 to %d", petstore.MaxPage))
	}
	query, args := p.store.sql.list, []any{p.tenant.String(), q.After, q.Limit + 1, flag(q.WithDeleted)}
	if q.Species != "" {
		// What no pet can have need not be something that a database can compare.
		if err := petstore.CheckSpecies(q.Species); err != nil {
			return page, fmt.Errorf("listing pets: %w", err)
		}
		query, args = p.store.sql.listSpecies, append(args, q.Species)
	}
	err = p.store.view(ctx, p.tenant, func(c sqldb.Conn) (err error) {
		page.Pets, err = sqldb.All(ctx, c, p.scan, query, args...)
		return err
	})
	if err != nil {
		return petstore.Page{}, fmt.Errorf("listing pets: %w", err)
	}
	if len(page.Pets) > q.Limit {
		page.Pets, page.More = page.Pets[:q.Limit], true
	}
	return page, nil
}

func (p pets) Get(ctx context.Context, id string) (pet petstore.Pet, err error) {
	if !petstore.ValidID(id) {
		return pet, fmt.Errorf("reading pet: %w", petstore.ErrNotFound)
	}
	err = p.store.view(ctx, p.tenant, func(c sqldb.Conn) (err error) {
		pet, err = p.scan(c.QueryRowContext(ctx, p.store.sql.get, p.tenant.String(), id).Scan)
		return err
	})
	if err != nil {
		return petstore.Pet{}, fmt.Errorf("reading pet %q: %w", id, err)
	}
	return pet, nil
}

func (p pets) Create(ctx context.Context, pet petstore.Pet) (petstore.Pet, error) {
	if err := p.own(pet); err != nil {
		return petstore.Pet{}, err
	}
	now := p.store.now().UTC().Truncate(time.Microsecond)
	if pet.ID == "" {
		pet.ID = petstore.NewID(now)
	}
	if !petstore.ValidID(pet.ID) {
		return petstore.Pet{}, petstore.InvalidField("id", "expected 1 to 64 lower-case letters and digits")
	}
	if err := pet.Validate(now); err != nil {
		return petstore.Pet{}, err
	}
	pet.Tenant, pet.CreatedAt, pet.UpdatedAt, pet.DeletedAt = p.tenant, now, now, time.Time{}
	pet.Tags = slices.Clone(pet.Tags)
	err := p.store.update(ctx, p.tenant, func(c sqldb.Conn) error {
		return sqldb.Exec(ctx, c, p.store.sql.insert, columnsOf(p.tenant, pet)...)
	})
	switch {
	case errors.Is(err, sqldb.ErrUnique):
		return petstore.Pet{}, fmt.Errorf("creating pet %q: %w", pet.ID, petstore.ErrExists)
	case err != nil:
		return petstore.Pet{}, fmt.Errorf("creating pet: %w", err)
	}
	return pet, nil
}

func (p pets) Change(ctx context.Context, id string, change func(*petstore.Pet) error) (pet petstore.Pet, err error) {
	if !petstore.ValidID(id) {
		return pet, fmt.Errorf("changing pet: %w", petstore.ErrNotFound)
	}
	err = p.store.update(ctx, p.tenant, func(c sqldb.Conn) error {
		before, err := p.scan(c.QueryRowContext(ctx, p.store.sql.getForChange, p.tenant.String(), id).Scan)
		if err != nil {
			return err
		}
		pet = before
		pet.Tags = slices.Clone(before.Tags)
		if err := change(&pet); err != nil {
			return err
		}
		if err := p.own(pet); err != nil {
			return err
		}
		now := p.store.now().UTC().Truncate(time.Microsecond)
		if err := pet.Validate(now); err != nil {
			return err
		}
		pet.Tenant, pet.ID, pet.CreatedAt, pet.DeletedAt = p.tenant, before.ID, before.CreatedAt, before.DeletedAt
		pet.UpdatedAt = now
		row := columnsOf(p.tenant, pet)
		return oneRow(sqldb.Affected(ctx, c, p.store.sql.update, append(row[:7:7], sqldb.Micros(now), pet.MicrochipID)...))
	})
	switch {
	case errors.Is(err, sqldb.ErrUnique): // the microchip
		return petstore.Pet{}, fmt.Errorf("changing pet %q: %w", id, petstore.ErrExists)
	case err != nil:
		return petstore.Pet{}, fmt.Errorf("changing pet %q: %w", id, err)
	}
	return pet, nil
}

func (p pets) Delete(ctx context.Context, id string) error {
	if !petstore.ValidID(id) {
		return fmt.Errorf("deleting pet: %w", petstore.ErrNotFound)
	}
	err := p.store.update(ctx, p.tenant, func(c sqldb.Conn) error {
		return oneRow(sqldb.Affected(ctx, c, p.store.sql.softDelete, p.tenant.String(), id, sqldb.Micros(p.store.now())))
	})
	if err != nil {
		return fmt.Errorf("deleting pet %q: %w", id, err)
	}
	return nil
}

// own refuses a pet that carries another tenant's name, before any SQL.
func (p pets) own(pet petstore.Pet) error {
	if !pet.Tenant.IsZero() && pet.Tenant != p.tenant {
		return fmt.Errorf("writing a pet of tenant %q as tenant %q: %w", pet.Tenant, p.tenant, petstore.ErrForeignTenant)
	}
	return nil
}

func oneRow(n int64, err error) error {
	if err == nil && n == 0 {
		return petstore.ErrNotFound
	}
	return err
}

// columnsOf returns the values of petColumns in their order.
func columnsOf(t tenant.Slug, pet petstore.Pet) []any {
	tags := []byte("[]")
	if len(pet.Tags) > 0 {
		tags, _ = json.Marshal(pet.Tags) // strings always marshal
	}
	return []any{t.String(), pet.ID, pet.Name, pet.Species, pet.Breed, string(tags), pet.BirthDate,
		sqldb.Micros(pet.CreatedAt), sqldb.Micros(pet.UpdatedAt), sqldb.Micros(pet.DeletedAt), pet.MicrochipID}
}

// scan reads one row and refuses it when it is not the tenant's: the last guard
// behind the predicate, the same on every engine.
func (p pets) scan(scan sqldb.Scan) (petstore.Pet, error) {
	var (
		pet                       petstore.Pet
		owner, tags               string
		created, updated, deleted int64
	)
	err := scan(&owner, &pet.ID, &pet.Name, &pet.Species, &pet.Breed, &tags, &pet.BirthDate, &created, &updated, &deleted, &pet.MicrochipID)
	if errors.Is(err, sql.ErrNoRows) {
		return pet, petstore.ErrNotFound
	}
	if err != nil {
		return pet, err
	}
	if owner != p.tenant.String() {
		return petstore.Pet{}, fmt.Errorf("reading a pet of tenant %q as tenant %q: %w", owner, p.tenant, petstore.ErrForeignTenant)
	}
	pet.Tenant = p.tenant
	if tags != "[]" {
		if err := json.Unmarshal([]byte(tags), &pet.Tags); err != nil {
			return pet, fmt.Errorf("reading the tags of pet %q: %w", pet.ID, err)
		}
	}
	pet.CreatedAt, pet.UpdatedAt, pet.DeletedAt = sqldb.Time(created), sqldb.Time(updated), sqldb.Time(deleted)
	return pet, nil
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

var _ petstore.Pets = pets{}
