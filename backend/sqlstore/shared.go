package sqlstore

import (
	"context"

	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// shared keeps all tenants in the same tables. The wall behind the predicate
// is, on Postgres, row level security under an ordinary role, and on SQLite
// the guard test over the statements.
type shared struct {
	db     *sqldb.DB
	engine engine
}

func (p *shared) view(ctx context.Context, t tenant.Slug, f func(sqldb.Conn) error) error {
	return p.db.ViewWith(ctx, p.engine.inShared(t), f)
}

func (p *shared) update(ctx context.Context, t tenant.Slug, f func(sqldb.Conn) error) error {
	return p.db.UpdateWith(ctx, p.engine.inShared(t), f)
}

func (p *shared) create(context.Context, tenant.Slug) error { return nil }

func (p *shared) drop(context.Context, tenant.Slug) error { return nil }

func (p *shared) migrator(ctx context.Context, _ tenant.Slug) (*migrator, error) {
	return p.engine.migrateShared(ctx)
}

func (p *shared) one() bool { return true }

// close leaves the database to who opened it: the catalog lives there too.
func (p *shared) close() error { return nil }

var _ place = (*shared)(nil)
