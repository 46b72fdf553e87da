package sqlstore

import (
	"context"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// schema gives each tenant its own tables, which a connection sees for the
// time of one transaction. A statement that forgot its predicate would see
// this tenant's rows only.
type schema struct{ engine engine }

func (p *schema) view(ctx context.Context, t tenant.Slug, f func(sqldb.Conn) error) error {
	return p.found(p.engine.schemas().ViewWith(ctx, p.engine.inSchema(t), f), t)
}

func (p *schema) update(ctx context.Context, t tenant.Slug, f func(sqldb.Conn) error) error {
	return p.found(p.engine.schemas().UpdateWith(ctx, p.engine.inSchema(t), f), t)
}

func (p *schema) found(err error, t tenant.Slug) error {
	if err != nil && p.engine.gone(err, petstore.Schema, t) {
		return petstore.ErrNoTenant
	}
	return err
}

func (p *schema) create(ctx context.Context, t tenant.Slug) error {
	return p.engine.createSchema(ctx, t)
}

func (p *schema) drop(ctx context.Context, t tenant.Slug) error { return p.engine.dropSchema(ctx, t) }

func (p *schema) migrator(ctx context.Context, t tenant.Slug) (*migrator, error) {
	return p.engine.migrateSchema(ctx, t)
}

func (p *schema) one() bool { return false }

func (p *schema) close() error { return nil }

var _ place = (*schema)(nil)
