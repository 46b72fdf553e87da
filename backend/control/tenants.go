package control

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Errors of the control plane, besides [tenant.ErrNotFound], [*petstore.Invalid]
// and [petstore.ErrUnavailable].
var (
	// ErrTaken means that the slug, one that looks like it, or a host is in
	// use.
	ErrTaken = errors.New("already taken")
	// ErrState means that a tenant in its present state cannot do what was
	// asked.
	ErrState = errors.New("not possible in the tenant's present state")
)

// Tenant is a tenant's whole record.
type Tenant struct {
	tenant.Tenant
	// Isolation is where the tenant's data is.
	Isolation petstore.Isolation
	CreatedAt time.Time
	UpdatedAt time.Time
	// PurgeAt is when a deactivated tenant's data is deleted; zero for any
	// other.
	PurgeAt time.Time
	Config  petstore.Config
}

// New is what an operator says about a new tenant.
type New struct {
	Slug string
	Name string // empty means the slug
	Plan string // empty means the first plan there is
	// Isolation is empty for the installation's default.
	Isolation string
	// AdminEmail is where the welcome mail goes; empty sends none.
	AdminEmail string
	// Upstreams are the tenant's own backends; none means the shared ones.
	Upstreams []string `json:",omitempty"` // left out of the hash of a request without
	// NoSamplePet leaves the tenant without the pet that others begin with.
	NoSamplePet bool

	importing bool
}

// MaxName is the longest name of a tenant in characters.
const MaxName = 100

func (c *Catalog) checkNew(n New) (Tenant, error) {
	var bad petstore.Invalid
	var t Tenant
	slug, err := tenant.ParseSlug(n.Slug)
	switch {
	case err != nil:
		bad.Add("slug", "%s", reason(err))
	case c.reserved[n.Slug]:
		bad.Add("slug", "the word is reserved")
	case c.looksReserved(slug):
		bad.Add("slug", "the name looks like a reserved word")
	}
	if n.Name == "" {
		n.Name = slug.String()
	} else {
		checkName(&bad, n.Name)
	}
	if n.Plan == "" {
		n.Plan = string(c.plans[0])
	}
	plan := c.checkPlan(&bad, n.Plan)
	isolation := c.isolation
	if n.Isolation != "" {
		if isolation, err = petstore.ParseIsolation(n.Isolation); err != nil {
			bad.Add("isolation", "expected shared, schema or database")
		}
	}
	checkEmail(&bad, n.AdminEmail)
	c.checkUpstreams(&bad, &n.Upstreams)
	t.Upstreams = n.Upstreams
	t.Slug, t.Name, t.Plan, t.Isolation, t.Status = slug, n.Name, plan, isolation, tenant.Provisioning
	return t, bad.Err()
}

const tenantColumns = `id, slug, name, plan, status, limits, isolation, created_at, updated_at, purge_at, upstreams, issuer, jwks`

// Get returns one tenant with its hosts, or [tenant.ErrNotFound].
func (c *Catalog) Get(ctx context.Context, slug tenant.Slug) (t Tenant, err error) {
	err = c.db.View(ctx, func(tx sqldb.Conn) (err error) {
		t, err = getTenant(ctx, tx, slug)
		return err
	})
	if err != nil {
		return Tenant{}, fmt.Errorf("reading tenant %q: %w", slug, err)
	}
	return t, nil
}

// List returns up to limit tenants with their hosts, ordered by slug,
// beginning after the slug given.
func (c *Catalog) List(ctx context.Context, after string, limit int) ([]Tenant, error) {
	list, err := c.tenants(ctx, `WHERE slug > $1 ORDER BY slug LIMIT $2`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("listing tenants: %w", err)
	}
	return list, nil
}

// tenants reads tenants and their hosts.
func (c *Catalog) tenants(ctx context.Context, where string, args ...any) (list []Tenant, err error) {
	err = c.db.View(ctx, func(tx sqldb.Conn) (err error) {
		list, err = c.tenantsIn(ctx, tx, where, args...)
		return err
	})
	return list, err
}

// tenantsIn is tenants within a transaction. A row that breaks a rule was
// written by somebody else: it is named and left out, so that it stands in
// nobody else's way.
func (c *Catalog) tenantsIn(ctx context.Context, tx sqldb.Conn, where string, args ...any) (list []Tenant, err error) {
	err = eachTenant(ctx, tx, func(t Tenant, err error) error {
		if err != nil {
			c.log.Warn("tenant left out, its row is not readable", "error", err.Error())
			return nil
		}
		list = append(list, t)
		return nil
	}, where, args...)
	return list, err
}

func getTenant(ctx context.Context, tx sqldb.Conn, slug tenant.Slug) (t Tenant, err error) {
	err = tenant.ErrNotFound
	if failed := eachTenant(ctx, tx, func(one Tenant, bad error) error { t, err = one, bad; return nil }, `WHERE slug = $1`, slug.String()); failed != nil {
		return Tenant{}, failed
	}
	return t, err
}

// eachTenant calls f with every tenant, or with what is wrong with its row.
func eachTenant(ctx context.Context, tx sqldb.Conn, f func(Tenant, error) error, where string, args ...any) error {
	return sqldb.Each(ctx, tx, func(scan sqldb.Scan) error { return f(scanTenant(scan)) }, `SELECT `+tenantColumns+`,
		(SELECT string_agg(host, ' ') FROM tenant_hosts h WHERE h.slug = tenants.slug),
		(SELECT string_agg(g.name || '=' || g.value, '
') FROM tenant_config g WHERE g.slug = tenants.slug)
		FROM tenants `+where, args...)
}

func scanTenant(scan sqldb.Scan) (t Tenant, err error) {
	var (
		slug, status            string
		created, updated, purge int64
		hosts, config           sql.NullString
		upstreams               string
	)
	err = scan(&t.ID, &slug, &t.Name, &t.Plan, &status, &t.Limits, &t.Isolation, &created, &updated, &purge, &upstreams, &t.Issuer, &t.JWKS, &hosts, &config)
	if err == nil {
		t.Slug, err = tenant.ParseSlug(slug)
	}
	if err == nil {
		t.Status, err = tenant.ParseStatus(status)
	}
	if err != nil {
		return Tenant{}, fmt.Errorf("reading tenant %q: %w", slug, err) // scan has set what it could
	}
	t.Hosts = strings.Fields(hosts.String)
	slices.Sort(t.Hosts)
	t.Config, t.Upstreams = parseConfig(config.String), splitUpstreams(upstreams)
	t.CreatedAt, t.UpdatedAt, t.PurgeAt = sqldb.Time(created), sqldb.Time(updated), sqldb.Time(purge)
	return t, nil
}
