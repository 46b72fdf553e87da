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

// transitions are the changes of status that an operator may ask for. Setting
// up and purging have their own ways.
var transitions = map[tenant.Status][]tenant.Status{
	tenant.Active:      {tenant.Suspended, tenant.Deactivated},
	tenant.Suspended:   {tenant.Active, tenant.Deactivated},
	tenant.Deactivated: {tenant.Active, tenant.Suspended},
}

func checkTransition(from, to tenant.Status) error {
	if from == to && transitions[from] != nil || slices.Contains(transitions[from], to) {
		return nil
	}
	return fmt.Errorf("changing the status from %q to %q: %w", from, to, ErrState)
}

// Patch is a change to a tenant; nil leaves a field as it is.
type Patch struct {
	Name   *string
	Plan   *string
	Status *tenant.Status
	Limits *string
	Hosts  *[]string
	// Upstreams are the tenant's own backends; none means the shared ones.
	Upstreams *[]string
	// Issuer is the tenant's own issuer of tokens; the zero value means the
	// platform's.
	Issuer *Issuer
}

func (c *Catalog) checkPatch(p *Patch) error {
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
	if p.Hosts != nil {
		c.checkHosts(&bad, p.Hosts)
	}
	if p.Upstreams != nil {
		list := *p.Upstreams // the caller's stays as it is
		c.checkUpstreams(&bad, &list)
		p.Upstreams = &list
	}
	if p.Issuer != nil {
		p.Issuer.check(&bad)
	}
	return bad.Err()
}

// Change applies a patch, all of it or nothing, and returns the tenant after
// it. Errors: [tenant.ErrNotFound], [*petstore.Invalid], [ErrState],
// [ErrTaken].
func (c *Catalog) Change(ctx context.Context, slug tenant.Slug, p Patch) (t Tenant, err error) {
	if err := c.checkPatch(&p); err != nil {
		return Tenant{}, err
	}
	err = c.change(ctx, func(tx sqldb.Conn) (err error) {
		if t, err = getTenant(ctx, tx, slug); err != nil {
			return err
		}
		before := viewOf(t)
		now := c.now().UTC()
		if t.Status == tenant.Purged {
			return ErrState
		}
		if p.Status != nil && *p.Status != t.Status {
			if err := checkTransition(t.Status, *p.Status); err != nil {
				return err
			}
			if t.Status == tenant.Deactivated && !t.PurgeAt.After(now) {
				return fmt.Errorf("%w: the purge has begun", ErrState)
			}
			t.Status, t.PurgeAt = *p.Status, time.Time{}
			if t.Status == tenant.Deactivated {
				t.PurgeAt = now.Add(purgeAfter)
			}
		}
		p.fill(&t)
		if p.Hosts != nil {
			if err := c.vouchFor(ctx, tx, t, *p.Hosts); err != nil {
				return err
			}
			t.Hosts = *p.Hosts
		}
		t.UpdatedAt = now
		err = writeTenant(ctx, tx, t)
		if errors.Is(sqldb.Classify(err), sqldb.ErrUnique) {
			return fmt.Errorf("setting issuer %q: %w", t.Issuer, ErrTaken)
		}
		if err != nil {
			return err
		}
		return c.record(ctx, tx, "tenant.change", slug, before, viewOf(t))
	})
	if err != nil {
		return Tenant{}, fmt.Errorf("changing tenant %q: %w", slug, err)
	}
	return t, nil
}

// fill sets the fields that depend on nothing else.
func (p Patch) fill(t *Tenant) {
	if p.Name != nil {
		t.Name = *p.Name
	}
	if p.Plan != nil {
		t.Plan = tenant.Plan(*p.Plan)
	}
	if p.Limits != nil {
		t.Limits = *p.Limits
	}
	if p.Upstreams != nil {
		t.Upstreams = *p.Upstreams
	}
	if p.Issuer != nil {
		t.Issuer, t.JWKS = p.Issuer.Issuer, p.Issuer.JWKS
	}
}

func writeTenant(ctx context.Context, tx sqldb.Conn, t Tenant) error {
	return sqldb.Exec(ctx, tx, `UPDATE tenants SET name = $2, plan = $3, status = $4, limits = $5, isolation = $6,
		updated_at = $7, purge_at = $8, upstreams = $9, issuer = $10, jwks = $11 WHERE slug = $1`,
		t.Slug.String(), t.Name, string(t.Plan), t.Status.String(), t.Limits, string(t.Isolation),
		t.UpdatedAt.UnixMicro(), sqldb.Micros(t.PurgeAt), joinUpstreams(t.Upstreams), t.Issuer, t.JWKS)
}

// Purge deletes a deactivated tenant's data for good. confirm must be the slug
// again. Errors: [*petstore.Invalid], [tenant.ErrNotFound], [ErrState],
// [ErrBusy].
func (c *Catalog) Purge(ctx context.Context, slug tenant.Slug, confirm string) error {
	if confirm != slug.String() {
		return petstore.InvalidField("confirm", "expected the tenant's slug, to be sure")
	}
	err := c.change(ctx, func(tx sqldb.Conn) error {
		t, err := getTenant(ctx, tx, slug)
		if err != nil {
			return err
		}
		if t.Status != tenant.Deactivated {
			return fmt.Errorf("%w: a tenant must be deactivated first", ErrState)
		}
		// From here on there is no way back: a crash leaves the rest to
		// PurgeDue.
		before := viewOf(t)
		t.PurgeAt, t.UpdatedAt = c.now().UTC(), c.now().UTC()
		if err := writeTenant(ctx, tx, t); err != nil {
			return err
		}
		return c.record(ctx, tx, "tenant.purge.begin", slug, before, nil)
	})
	if err != nil {
		return fmt.Errorf("purging tenant %q: %w", slug, err)
	}
	return c.purge(ctx, slug)
}

// PurgeDue purges the tenants whose time has come and returns how many. One that
// fails does not keep the others back.
func (c *Catalog) PurgeDue(ctx context.Context) (purged int, err error) {
	list, err := c.tenants(ctx, `WHERE status = 'deactivated' AND purge_at <= $1 ORDER BY slug`, c.now().UnixMicro())
	if err != nil {
		return 0, fmt.Errorf("looking for tenants to purge: %w", err)
	}
	for _, t := range list {
		if one := c.purge(ctx, t.Slug); one != nil {
			err = errors.Join(err, one)
			continue
		}
		purged++
	}
	return purged, err
}

// purge removes the data, then everything in the catalog but the record that
// keeps id and slug from being used again. It may be repeated.
func (c *Catalog) purge(ctx context.Context, slug tenant.Slug) error {
	err := c.lockedTenant(ctx, slug, func(ctx context.Context) error {
		t, err := c.Get(ctx, slug)
		if err != nil || t.Status != tenant.Deactivated {
			return err
		}
		// Every place, not only the present one: a move may have been cut off.
		for _, i := range petstore.Isolations {
			if err := c.removePlace(ctx, slug, i); err != nil {
				return err
			}
		}
		c.crash("removed")
		return c.change(ctx, func(tx sqldb.Conn) error {
			t, err := getTenant(ctx, tx, slug)
			if err != nil || t.Status != tenant.Deactivated {
				return err
			}
			if err := c.setHosts(ctx, tx, slug, t.Hosts, nil); err != nil {
				return err
			}
			if err := forget(ctx, tx, slug); err != nil {
				return err
			}
			t.Status, t.Name, t.Hosts, t.Upstreams, t.Limits, t.Issuer, t.JWKS = tenant.Purged, slug.String(), nil, nil, "", "", ""
			t.PurgeAt, t.UpdatedAt = time.Time{}, c.now().UTC()
			if err := writeTenant(ctx, tx, t); err != nil {
				return err
			}
			return c.record(ctx, tx, "tenant.purge", slug, nil, viewOf(t))
		})
	})
	if err != nil {
		return fmt.Errorf("purging tenant %q: %w", slug, err)
	}
	return nil
}

// forget deletes all that the catalog knows of a tenant besides its record: what
// is left would be the next one's of that slug.
func forget(ctx context.Context, tx sqldb.Conn, slug tenant.Slug) error {
	for _, table := range []string{"api_keys", "tenant_tokens", "tenant_users", "tenant_config", "outbox", "onboarding_steps", "onboardings", "moves", "idempotency_keys", "host_claims"} {
		if err := sqldb.Exec(ctx, tx, `DELETE FROM `+table+` WHERE slug = $1`, slug.String()); err != nil {
			return err
		}
	}
	return sqldb.Exec(ctx, tx, `DELETE FROM schema_status WHERE place = $1`, slug.String())
}
