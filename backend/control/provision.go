package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// onboarding is a tenant that is being set up.
type onboarding struct {
	Tenant
	adminEmail string
	samplePet  int64 // 0, 1, or importing
}

// step is one part of setting a tenant up. It may be repeated: after a crash
// between the step and its record it runs again.
type step struct {
	name    string
	storage bool // an import has done it before it loaded the pets
	run     func(*Catalog, context.Context, onboarding) error
}

// steps are run in this order. A tenant is active when all are recorded.
var steps = []step{
	{"storage", true, func(c *Catalog, ctx context.Context, o onboarding) error {
		return c.step(ctx, "making", func(ctx context.Context, _ sqldb.Conn) error { return c.storage.Make(ctx, o.Slug, o.Isolation) })
	}},
	{"migrations", true, func(c *Catalog, ctx context.Context, o onboarding) error {
		if err := c.createEmpty(ctx, o.Slug, o.Isolation); err != nil || o.Isolation == petstore.Shared {
			return err
		}
		return c.recordPlace(ctx, Place{Name: o.Slug.String(), Version: c.storage.Target()})
	}},
	{"config", false, (*Catalog).defaultConfig},
	{"admin", false, (*Catalog).createAdmin},
	{"sample", false, func(c *Catalog, ctx context.Context, o onboarding) error {
		if o.samplePet != 1 {
			return nil
		}
		err := c.step(ctx, "sampling", func(ctx context.Context, _ sqldb.Conn) error {
			_, err := c.storage.PetsIn(o.Slug, o.Isolation).Create(ctx, petstore.Pet{
				ID: "sample", Name: "Sample", Species: "cat", Tags: []string{"sample"},
			})
			return err
		})
		if errors.Is(err, petstore.ErrExists) {
			return nil
		}
		return err
	}},
	{"welcome", false, (*Catalog).welcome},
}

// errFound ends a search.
var errFound = errors.New("found")

// createEmpty makes the place of a tenant that is being set up. Rows that are
// there belong to nobody: an earlier tenant of that slug was given up, and they
// must not become the new one's.
func (c *Catalog) createEmpty(ctx context.Context, slug tenant.Slug, i petstore.Isolation) error {
	create := func(ctx context.Context, _ sqldb.Conn) error { return c.storage.Create(ctx, slug, i) }
	if err := c.step(ctx, "creating", create); err != nil {
		return err
	}
	err := c.storage.Rows(ctx, slug, i, func(petstore.Pet) error { return errFound })
	if !errors.Is(err, errFound) {
		return err
	}
	if err := c.removePlace(ctx, slug, i); err != nil {
		return err
	}
	return c.step(ctx, "creating", create)
}

// Provision finishes setting a tenant up: the steps that are not recorded yet,
// in their order. For a tenant that is set up it does nothing. [ErrBusy] means
// that somebody else is at it.
func (c *Catalog) Provision(ctx context.Context, slug tenant.Slug) error {
	err := c.lockedTenant(ctx, slug, func(ctx context.Context) error { return c.provision(ctx, slug, false) })
	if err != nil {
		return fmt.Errorf("setting up tenant %q: %w", slug, err)
	}
	return nil
}

// provision does so for an import, whose pets are there already, too.
func (c *Catalog) provision(ctx context.Context, slug tenant.Slug, imported bool) error {
	o := onboarding{}
	var done []string
	err := c.db.View(ctx, func(tx sqldb.Conn) (err error) {
		if o.Tenant, err = getTenant(ctx, tx, slug); err != nil || o.Status != tenant.Provisioning {
			return err
		}
		err = tx.QueryRowContext(ctx, `SELECT admin_email, sample_pet FROM onboardings WHERE slug = $1`, slug.String()).Scan(&o.adminEmail, &o.samplePet)
		if err != nil {
			return err
		}
		done, err = sqldb.All(ctx, tx, sqldb.One[string], `SELECT step FROM onboarding_steps WHERE slug = $1`, slug.String())
		return err
	})
	if err != nil || o.Status != tenant.Provisioning {
		return err
	}
	if o.samplePet == importing && !imported {
		return fmt.Errorf("%w: it needs its archive", ErrBusy)
	}
	for _, s := range steps {
		if slices.Contains(done, s.name) || imported && s.storage {
			continue
		}
		if err := s.run(c, ctx, o); err != nil {
			return fmt.Errorf("step %q: %w", s.name, err)
		}
		c.crash("after " + s.name)
		c.crash("before recording " + s.name)
		err := c.write(ctx, func(tx sqldb.Conn) error {
			return sqldb.Exec(ctx, tx, `INSERT INTO onboarding_steps (slug, step, done_at) VALUES ($1, $2, $3)`,
				slug.String(), s.name, c.now().UnixMicro())
		})
		if err != nil {
			return fmt.Errorf("recording step %q: %w", s.name, err)
		}
		c.crash("recorded " + s.name)
	}
	c.crash("before activating")
	return c.change(ctx, func(tx sqldb.Conn) error {
		err := sqldb.Exec(ctx, tx, `UPDATE tenants SET status = 'active', updated_at = $2 WHERE slug = $1 AND status = 'provisioning'`,
			slug.String(), c.now().UnixMicro())
		if err != nil {
			return err
		}
		after := o.Tenant
		after.Status = tenant.Active
		return c.record(ctx, tx, "tenant.activate", slug, viewOf(o.Tenant), viewOf(after))
	})
}

// crash is where tests end the process; otherwise it does nothing.
func (c *Catalog) crash(at string) {
	if c.crashAt != nil {
		c.crashAt(at)
	}
}

// Resume finishes tenants whose setting up was cut off longer than age ago,
// and returns how many it finished. One that fails does not keep the others
// back.
func (c *Catalog) Resume(ctx context.Context, age time.Duration) (finished int, err error) {
	list, err := c.tenants(ctx, `WHERE status = 'provisioning' AND updated_at <= $1 ORDER BY slug`, c.now().Add(-age).UnixMicro())
	if err != nil {
		return 0, fmt.Errorf("looking for tenants that are not set up: %w", err)
	}
	for _, t := range list {
		kind, one := c.kindOf(ctx, t.Slug)
		switch {
		case one == nil && kind == importing:
			one = c.abandon(ctx, t.Slug)
		case one == nil:
			one = c.Provision(ctx, t.Slug)
		}
		switch {
		case one == nil:
			finished++
		case !errors.Is(one, ErrBusy):
			err = errors.Join(err, one)
		}
	}
	return finished, err
}
