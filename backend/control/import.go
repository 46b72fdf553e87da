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
	err = c.lockedTenant(ctx, t.Slug, func(ctx context.Context) error {
		// Under the lock already: nobody takes the record for one that was left.
		if _, err := c.claim(ctx, t, n, ""); err != nil {
			return err
		}
		err := c.fill(ctx, t, m, pets, end)
		if err == nil {
			return nil
		}
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return errors.Join(err, c.abandonLocked(undo, t.Slug))
	})
	if err != nil {
		return Created{}, fmt.Errorf("importing tenant %q: %w", t.Slug, err)
	}
	return c.created(ctx, t.Slug)
}

// fill gives a tenant that is being set up what is in its archive.
func (c *Catalog) fill(ctx context.Context, t Tenant, m manifest, pets io.Reader, end func() error) error {
	if err := c.createEmpty(ctx, t.Slug, t.Isolation); err != nil {
		return err
	}
	load := loader{catalog: c, slug: t.Slug, to: t.Isolation}
	err := readPets(pets, m.Pets, c.now(), func(p petstore.Pet) error { return load.add(ctx, p) })
	if err := errors.Join(err, end()); err != nil {
		return err
	}
	if err := load.flush(ctx); err != nil {
		return err
	}
	if t.Isolation != petstore.Shared {
		if err := c.recordPlace(ctx, Place{Name: t.Slug.String(), Version: c.storage.Target()}); err != nil {
			return err
		}
	}
	c.crash("import loaded")
	if err := c.restrict(ctx, t.Slug, m); err != nil {
		return err
	}
	return c.provision(ctx, t.Slug, true)
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

// abandon undoes an import that was cut off.
func (c *Catalog) abandon(ctx context.Context, slug tenant.Slug) error {
	err := c.lockedTenant(ctx, slug, func(ctx context.Context) error { return c.abandonLocked(ctx, slug) })
	if err != nil {
		return fmt.Errorf("abandoning tenant %q: %w", slug, err)
	}
	return nil
}

// abandonLocked removes a tenant that was never active, with its record: nobody
// has seen its slug or id. What is no import by now is left alone.
func (c *Catalog) abandonLocked(ctx context.Context, slug tenant.Slug) error {
	t, err := c.Get(ctx, slug)
	if err != nil || t.Status != tenant.Provisioning {
		return ignoreNotFound(err)
	}
	kind, err := c.kindOf(ctx, slug)
	if err != nil || kind != importing {
		return err
	}
	for _, i := range petstore.Isolations {
		if err := c.removePlace(ctx, slug, i); err != nil {
			return err
		}
	}
	c.crash("before abandoning")
	return c.change(ctx, func(tx sqldb.Conn) error {
		if err := c.setHosts(ctx, tx, slug, t.Hosts, nil); err != nil {
			return err
		}
		if err := forget(ctx, tx, slug); err != nil {
			return err
		}
		for _, table := range []string{"host_holds", "tenants"} {
			if err := sqldb.Exec(ctx, tx, `DELETE FROM `+table+` WHERE slug = $1`, slug.String()); err != nil {
				return err
			}
		}
		return c.record(ctx, tx, "tenant.abandon", slug, viewOf(t), nil)
	})
}

func ignoreNotFound(err error) error {
	if errors.Is(err, tenant.ErrNotFound) {
		return nil
	}
	return err
}

// kindOf returns onboardings.sample_pet of a tenant that is being set up.
func (c *Catalog) kindOf(ctx context.Context, slug tenant.Slug) (kind int64, err error) {
	err = c.db.View(ctx, func(tx sqldb.Conn) error {
		return tx.QueryRowContext(ctx, `SELECT sample_pet FROM onboardings WHERE slug = $1`, slug.String()).Scan(&kind)
	})
	return kind, err
}
