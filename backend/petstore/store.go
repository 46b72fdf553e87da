// Package petstore is the domain: what a pet is, what can be done with a
// tenant's pets, and which errors doing so has. It knows no SQL and no HTTP.
//
// [Store.Pets] is the only door to the data. It takes the tenant, and nothing
// behind it does: there is no method that takes a tenant and a pet's id
// together, so no caller can pair one tenant with another's pet.
package petstore

import (
	"context"
	"fmt"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Store gives access to one tenant's pets at a time. It is safe for concurrent
// use. Which tenant asks must have been verified before.
type Store interface {
	// Pets returns the tenant's pets. It does no I/O and never fails; a tenant
	// that does not exist shows in the calls that follow.
	Pets(t tenant.Slug) Pets
}

// Pets are the pets of exactly one tenant. Other tenants' pets do not exist
// for it: they are not read, listed, counted, changed, deleted or paged into,
// and their ids may be used again.
//
// Besides the errors named at each method, every method may return
// [ErrNoTenant], [ErrUnavailable] and [ErrBehind], and every method that
// writes [ErrFrozen].
type Pets interface {
	// List returns a page of pets ordered by id. A pet created while a client
	// pages either shows up later or not at all; none is shown twice and none
	// that stays is left out. Errors: [*Invalid], for a query that makes no sense.
	List(ctx context.Context, q Query) (Page, error)
	// Get returns one pet, or [ErrNotFound], also for a deleted one.
	Get(ctx context.Context, id string) (Pet, error)
	// Create stores a new pet and returns it as stored. An empty ID is given a
	// new one. Errors: [*Invalid], [ErrExists], [ErrForeignTenant].
	Create(ctx context.Context, p Pet) (Pet, error)
	// Change reads one pet, lets change alter it and writes it back, all in
	// one transaction, and returns it as stored. change may run more than once
	// and must only alter the pet; an error from it is returned as it is and
	// nothing is written. ID, Tenant and the times cannot be changed.
	// Errors: [ErrNotFound], [*Invalid], [ErrForeignTenant].
	Change(ctx context.Context, id string, change func(*Pet) error) (Pet, error)
	// Delete marks one pet as deleted, or returns [ErrNotFound], also for one
	// that is deleted already.
	Delete(ctx context.Context, id string) error
}

// Query says which pets a page holds. The zero value asks for the first page
// of all pets that are not deleted.
type Query struct {
	// Species, when not empty, selects the pets of exactly this species.
	Species string
	// After is the id after which the page begins; empty for the first page.
	After string
	// Limit is the page's size, 1 to [MaxPage]; 0 means [DefaultPage].
	Limit int
	// WithDeleted includes soft-deleted pets.
	WithDeleted bool
}

// Page sizes in pets.
const (
	DefaultPage = 20
	MaxPage     = 100
)

// Page is one page of a listing.
type Page struct {
	Pets []Pet
	// More says that further pets follow the last one here.
	More bool
}

// Isolation is how far one tenant's rows are kept from another's.
type Isolation string

// The three strategies.
const (
	// Shared keeps all tenants in the same tables.
	Shared Isolation = "shared"
	// Schema gives each tenant its own tables beside the others'.
	Schema Isolation = "schema"
	// Database gives each tenant its own database.
	Database Isolation = "database"
)

// Isolations are all strategies, from the least to the most apart.
var Isolations = []Isolation{Shared, Schema, Database}

// ParseIsolation reads a strategy by name. The error wraps [ErrInvalid] and
// lists the names.
func ParseIsolation(s string) (Isolation, error) {
	for _, i := range Isolations {
		if string(i) == s {
			return i, nil
		}
	}
	return "", fmt.Errorf("parsing isolation %.40q: %w: expected shared, schema or database", s, ErrInvalid)
}
