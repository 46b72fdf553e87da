package control

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Errors of a repeated creation.
var (
	// ErrKeyReused means that an idempotency key came with another request
	// than the first time.
	ErrKeyReused = errors.New("idempotency key used for another request")
	// ErrBusy means that the same is being done at this moment.
	ErrBusy = errors.New("already in progress")
)

// keyLife is how long an idempotency key is remembered.
const keyLife = 24 * time.Hour

// Created is a new tenant and what its administrator needs to begin.
type Created struct {
	Tenant Tenant
	// SetupToken is good once, for [Catalog.Redeem].
	SetupToken string
}

// Create claims the slug and sets the tenant up. With an idempotency key a
// repeated call finishes what the first began and returns the same.
//
// When setting up fails the slug stays claimed and the tenant invisible, and
// [Catalog.Resume] finishes it. Errors: [*petstore.Invalid], [ErrTaken],
// [ErrKeyReused], [ErrBusy], [petstore.ErrUnavailable].
func (c *Catalog) Create(ctx context.Context, n New, key string) (Created, error) {
	t, err := c.checkNew(n)
	if err != nil {
		return Created{}, err
	}
	slug, err := c.claim(ctx, t, n, key)
	if err != nil {
		return Created{}, fmt.Errorf("creating tenant %q: %w", t.Slug, err)
	}
	if err := c.Provision(ctx, slug); err != nil {
		return Created{}, err
	}
	return c.created(ctx, slug)
}

func (c *Catalog) created(ctx context.Context, slug tenant.Slug) (Created, error) {
	t, err := c.Get(ctx, slug)
	if err != nil {
		return Created{}, err
	}
	token, err := c.setupToken(ctx, t.ID)
	return Created{t, token}, err
}

// claim records the tenant as being set up, or finds the one that the key
// recorded before.
func (c *Catalog) claim(ctx context.Context, t Tenant, n New, key string) (tenant.Slug, error) {
	request := hashOf(n)
	if slug, err := c.claimed(ctx, key, request); err != nil || !slug.IsZero() {
		return slug, err
	}
	now := c.now().UTC()
	t.ID, t.CreatedAt, t.UpdatedAt = newTenantID(), now, now
	err := c.change(ctx, func(tx sqldb.Conn) error {
		err := sqldb.Exec(ctx, tx, `INSERT INTO tenants
			(id, slug, skeleton, name, plan, status, limits, isolation, created_at, updated_at, purge_at, upstreams, revision)
			VALUES ($1, $2, $3, $4, $5, $6, '', $7, $8, $8, 0, $9, 0)`,
			t.ID, t.Slug.String(), skeleton(t.Slug), t.Name, string(t.Plan), t.Status.String(), string(t.Isolation), now.UnixMicro(), joinUpstreams(t.Upstreams))
		if err != nil {
			return err
		}
		err = sqldb.Exec(ctx, tx, `INSERT INTO onboardings (slug, admin_email, sample_pet) VALUES ($1, $2, $3)`,
			t.Slug.String(), n.AdminEmail, n.kind())
		if err != nil {
			return err
		}
		if key != "" {
			err = sqldb.Exec(ctx, tx, `DELETE FROM idempotency_keys WHERE created_at < $1`, now.Add(-keyLife).UnixMicro())
			if err != nil {
				return err
			}
			err = sqldb.Exec(ctx, tx, `INSERT INTO idempotency_keys (idempotency_key, request_hash, slug, created_at) VALUES ($1, $2, $3, $4)`,
				key, request, t.Slug.String(), now.UnixMicro())
			if err != nil {
				return err
			}
		}
		return c.record(ctx, tx, "tenant.create", t.Slug, nil, viewOf(t))
	})
	if errors.Is(err, sqldb.ErrUnique) {
		// Either somebody has the slug, or this very request won the race
		// against itself.
		if slug, again := c.claimed(ctx, key, request); again != nil || !slug.IsZero() {
			return slug, again
		}
		return tenant.Slug{}, ErrTaken
	}
	return t.Slug, err
}

// claimed returns the slug that was claimed with the key, or the zero slug.
func (c *Catalog) claimed(ctx context.Context, key, request string) (slug tenant.Slug, err error) {
	if key == "" {
		return slug, nil
	}
	var hash, name string
	err = c.db.View(ctx, func(tx sqldb.Conn) error {
		return tx.QueryRowContext(ctx, `SELECT request_hash, slug FROM idempotency_keys WHERE idempotency_key = $1 AND created_at >= $2`,
			key, c.now().Add(-keyLife).UnixMicro()).Scan(&hash, &name)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return slug, nil
	case err != nil:
		return slug, err
	case hash != request:
		return slug, ErrKeyReused
	}
	return tenant.ParseSlug(name)
}

func hashOf(n New) string {
	b, _ := json.Marshal(n) // strings and booleans always marshal
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// kind is the value of onboardings.sample_pet.
func (n New) kind() int {
	switch {
	case n.importing:
		return importing
	case n.NoSamplePet:
		return 0
	}
	return 1
}
