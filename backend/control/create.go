package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Create claims the slug, makes the tenant's storage and makes it active.
// Errors: [*petstore.Invalid], [ErrTaken], [petstore.ErrUnavailable].
func (c *Catalog) Create(ctx context.Context, n New) (Tenant, error) {
	t, err := c.checkNew(n)
	if err != nil {
		return Tenant{}, err
	}
	now := c.now().UTC()
	t.ID = newTenantID()
	err = c.change(ctx, func(tx sqldb.Conn, revision int64) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO tenants
			(id, slug, skeleton, name, plan, status, limits, isolation, created_at, updated_at, purge_at, revision)
			VALUES ($1, $2, $3, $4, $5, $6, '', $7, $8, $8, 0, $9)`,
			t.ID, t.Slug.String(), skeleton(t.Slug), t.Name, string(t.Plan), t.Status.String(), string(t.Isolation), now.UnixMicro(), revision)
		return err
	})
	if errors.Is(err, sqldb.ErrUnique) {
		return Tenant{}, fmt.Errorf("creating tenant %q: %w", t.Slug, ErrTaken)
	}
	if err != nil {
		return Tenant{}, fmt.Errorf("creating tenant %q: %w", t.Slug, err)
	}
	if err := c.storage.Create(ctx, t.Slug, t.Isolation); err != nil {
		return Tenant{}, err
	}
	return c.setStatus(ctx, t.Slug, tenant.Active)
}

func (c *Catalog) setStatus(ctx context.Context, slug tenant.Slug, to tenant.Status) (t Tenant, err error) {
	err = c.change(ctx, func(tx sqldb.Conn, revision int64) (err error) {
		_, err = tx.ExecContext(ctx, `UPDATE tenants SET status = $2, updated_at = $3, revision = $4 WHERE slug = $1`,
			slug.String(), to.String(), c.now().UnixMicro(), revision)
		if err != nil {
			return err
		}
		t, err = getTenant(ctx, tx, slug)
		return err
	})
	if err != nil {
		return Tenant{}, fmt.Errorf("making tenant %q %s: %w", slug, to, err)
	}
	return t, nil
}

// Patch is a change to a tenant; nil leaves a field as it is.
type Patch struct {
	Name   *string
	Plan   *string
	Status *tenant.Status
	Limits *string
}

// Change applies a patch, all of it or nothing, and returns the tenant after
// it. Errors: [tenant.ErrNotFound], [*petstore.Invalid], [ErrState].
func (c *Catalog) Change(ctx context.Context, slug tenant.Slug, p Patch) (t Tenant, err error) {
	var bad petstore.Invalid
	if p.Name != nil {
		checkName(&bad, *p.Name)
	}
	if p.Plan != nil {
		c.checkPlan(&bad, *p.Plan)
	}
	if p.Limits != nil {
		checkLimits(&bad, *p.Limits)
	}
	if err := bad.Err(); err != nil {
		return Tenant{}, err
	}
	err = c.change(ctx, func(tx sqldb.Conn, revision int64) (err error) {
		if t, err = getTenant(ctx, tx, slug); err != nil {
			return err
		}
		if p.Status != nil {
			if err := checkTransition(t.Status, *p.Status); err != nil {
				return err
			}
			t.Status = *p.Status
		}
		if p.Name != nil {
			t.Name = *p.Name
		}
		if p.Plan != nil {
			t.Plan = tenant.Plan(*p.Plan)
		}
		if p.Limits != nil {
			t.Limits = *p.Limits
		}
		t.UpdatedAt = c.now().UTC()
		_, err = tx.ExecContext(ctx, `UPDATE tenants SET name = $2, plan = $3, status = $4, limits = $5, updated_at = $6, revision = $7 WHERE slug = $1`,
			slug.String(), t.Name, string(t.Plan), t.Status.String(), t.Limits, t.UpdatedAt.UnixMicro(), revision)
		return err
	})
	if err != nil {
		return Tenant{}, fmt.Errorf("changing tenant %q: %w", slug, err)
	}
	return t, nil
}
