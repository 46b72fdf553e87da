package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// importing marks an onboarding that needs an archive: it cannot be finished
// without it, so one that was cut off is undone.
const importing = 2

// Import makes a tenant from an archive, under the slug in it or another, in
// any place. The tenant is active when every row is there and the checksum is
// right; before that nobody sees it, and on an error nothing is left.
func (c *Catalog) Import(ctx context.Context, r io.Reader, slug, isolation string) (Created, error) {
	m, pets, end, err := openArchive(r)
	if err != nil {
		return Created{}, fmt.Errorf("importing: %w", err)
	}
	// Its backends come with the record: the tenant is never led to the shared
	// ones in between.
	n := New{Slug: m.Slug, Name: m.Name, Plan: m.Plan, Isolation: isolation, Upstreams: m.Upstreams, NoSamplePet: true, importing: true}
	if slug != "" {
		n.Slug = slug
	}
	t, err := c.checkNew(n)
	if err != nil {
		return Created{}, fmt.Errorf("importing: %w", err)
	}
	if _, err := c.claim(ctx, t, n, ""); err != nil {
		return Created{}, fmt.Errorf("importing tenant %q: %w", t.Slug, err)
	}
	err = c.lockedTenant(ctx, t.Slug, func(ctx context.Context) error {
		if err := c.storage.Create(ctx, t.Slug, t.Isolation); err != nil {
			return err
		}
		err := c.storage.Load(ctx, t.Slug, t.Isolation, func(add func(petstore.Pet) error) error {
			return errors.Join(readPets(pets, m.Pets, add), end())
		})
		if err != nil {
			return err
		}
		c.crash("import loaded")
		if err := c.restrict(ctx, t.Slug, m); err != nil {
			return err
		}
		return c.provision(ctx, t.Slug)
	})
	if err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return Created{}, errors.Join(fmt.Errorf("importing tenant %q: %w", t.Slug, err), c.abandon(undo, t.Slug))
	}
	return c.created(ctx, t.Slug)
}

// restrict gives a tenant what its archive says about who may use it, and how:
// before it is active, so that it is never open to more than it was.
func (c *Catalog) restrict(ctx context.Context, slug tenant.Slug, m manifest) error {
	if m.Limits != "" || m.Issuer != (Issuer{}) {
		if _, err := c.Change(ctx, slug, Patch{Limits: &m.Limits, Issuer: &m.Issuer}); err != nil {
			return err
		}
	}
	for name, value := range m.Config {
		// A key that this version does not know is left out.
		if _, err := c.SetConfig(ctx, slug, name, value); err != nil && !errors.Is(err, ErrNoKey) {
			return err
		}
	}
	return nil
}

// abandon removes a tenant that was never active, with its record: nobody has
// seen its slug or id.
func (c *Catalog) abandon(ctx context.Context, slug tenant.Slug) error {
	err := c.lockedTenant(ctx, slug, func(ctx context.Context) error {
		t, err := c.Get(ctx, slug)
		if errors.Is(err, tenant.ErrNotFound) || err == nil && t.Status != tenant.Provisioning {
			return nil
		}
		if err != nil {
			return err
		}
		for _, i := range petstore.Isolations {
			if err := c.storage.Remove(ctx, slug, i); err != nil {
				return err
			}
		}
		return c.change(ctx, func(tx sqldb.Conn) error {
			for _, table := range []string{"tenant_tokens", "tenant_users", "tenant_config", "outbox", "onboarding_steps", "onboardings", "idempotency_keys", "tenants"} {
				if err := sqldb.Exec(ctx, tx, `DELETE FROM `+table+` WHERE slug = $1`, slug.String()); err != nil {
					return err
				}
			}
			return c.record(ctx, tx, "tenant.abandon", slug, viewOf(t), nil)
		})
	})
	if err != nil {
		return fmt.Errorf("abandoning tenant %q: %w", slug, err)
	}
	return nil
}
