package sqlstore

import (
	"context"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// database gives each tenant a database of its own. A bounded number of them
// is open at one time.
type database struct {
	engine  engine
	handles *handles
}

func newDatabase(e engine, most int) *database {
	return &database{e, newHandles(most, e.openDatabase)}
}

func (p *database) view(ctx context.Context, t tenant.Slug, f func(sqldb.Conn) error) error {
	return p.found(t, p.handles.with(ctx, t, func(db *sqldb.DB) error { return db.ViewWith(ctx, p.engine.inDatabase(t), f) }))
}

func (p *database) update(ctx context.Context, t tenant.Slug, f func(sqldb.Conn) error) error {
	return p.found(t, p.handles.with(ctx, t, func(db *sqldb.DB) error { return db.UpdateWith(ctx, p.engine.inDatabase(t), f) }))
}

func (p *database) found(t tenant.Slug, err error) error {
	if err != nil && p.engine.gone(err, petstore.Database, t) {
		return petstore.ErrNoTenant
	}
	return err
}

func (p *database) create(ctx context.Context, t tenant.Slug) error {
	return p.engine.createDatabase(ctx, t)
}

func (p *database) drop(ctx context.Context, t tenant.Slug) error {
	if err := p.handles.forget(ctx, t); err != nil {
		return err
	}
	return p.engine.dropDatabase(ctx, t)
}

func (p *database) migrator(ctx context.Context, t tenant.Slug) (*migrator, error) {
	return p.engine.migrateDatabase(ctx, t)
}

func (p *database) one() bool { return false }

func (p *database) close() error { return p.handles.close() }

var _ place = (*database)(nil)
