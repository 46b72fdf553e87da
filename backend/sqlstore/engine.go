package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// engine is what SQLite and Postgres do differently, for each strategy. What
// creates and drops may be repeated.
type engine interface {
	// pool is the database in which the tables of a strategy are that gives
	// tenants no database of their own.
	pool(i petstore.Isolation) *sqldb.DB
	// open opens t's own database, or returns petstore.ErrNoTenant.
	open(ctx context.Context, t tenant.Slug) (*sqldb.DB, error)
	// in prepares a transaction there, in which the unqualified names of tables
	// are those that hold t's rows.
	in(i petstore.Isolation, t tenant.Slug) sqldb.Setup
	// create makes what holds t's tables, if it is missing, up to but without
	// the tables themselves. drop removes it with all that is in it. What
	// tenants share is left alone by both.
	create(ctx context.Context, i petstore.Isolation, t tenant.Slug) error
	drop(ctx context.Context, i petstore.Isolation, t tenant.Slug) error
	// migrator opens t's tables for migrations. The caller closes it.
	migrator(ctx context.Context, i petstore.Isolation, t tenant.Slug) (*migrator, error)
	// gone says whether an error on the way to t's place means that the place
	// does not exist.
	gone(err error, i petstore.Isolation, t tenant.Slug) bool
	close() error
}

// migrator is a set of tables opened for migrations.
type migrator struct {
	*sqldb.Migrator
	// after runs when migrations were applied: it lets the ordinary role use
	// what the owner made. It may be nil.
	after func(context.Context) error
	close func() error
}

// place is one strategy on one engine: where tenants' tables are, and the wall
// behind the predicate that every statement has.
//
// Shared keeps all tenants in the same tables; the wall is, on Postgres, row
// level security under an ordinary role, and on SQLite the guard test over the
// statements. Schema gives each tenant its own tables, which a connection sees
// for the time of one transaction. Database gives each tenant a database of its
// own, of which a bounded number is open at one time.
type place struct {
	engine    engine
	isolation petstore.Isolation
	handles   *handles // of the tenants' own databases
	// seen holds whose tables were seen in the version needed: the tenant, or
	// the zero slug for those that all share. Versions only grow while a program
	// runs, and a place that another process made anew is looked at again.
	seen sync.Map
}

func newPlace(e engine, i petstore.Isolation, most int) *place {
	return &place{engine: e, isolation: i, handles: newHandles(most, e.open)}
}

// shared reports whether all tenants have the same tables.
func (p *place) shared() bool { return p.isolation == petstore.Shared }

// view and update run f in one transaction at t's place.
func (p *place) view(ctx context.Context, t tenant.Slug, f func(sqldb.Conn) error) error {
	return p.with(ctx, t, func(db *sqldb.DB) error { return db.ViewWith(ctx, p.engine.in(p.isolation, t), f) })
}

func (p *place) update(ctx context.Context, t tenant.Slug, f func(sqldb.Conn) error) error {
	return p.with(ctx, t, func(db *sqldb.DB) error { return db.UpdateWith(ctx, p.engine.in(p.isolation, t), f) })
}

// key is what tables are told apart by within the place.
func (p *place) key(t tenant.Slug) tenant.Slug {
	if p.shared() {
		return tenant.Slug{}
	}
	return t
}

// with runs f on the database that holds t's tables. When another process has
// removed that and made it anew, by a move there and back, it is opened again: f
// has not been run then.
func (p *place) with(ctx context.Context, t tenant.Slug, f func(*sqldb.DB) error) (err error) {
	const tries = 3
	for range tries {
		if p.isolation == petstore.Database {
			err = p.handles.with(ctx, t, f)
		} else {
			err = f(p.engine.pool(p.isolation))
		}
		if p.shared() || !errors.Is(err, sqldb.ErrReplaced) {
			break
		}
		p.seen.Delete(t)
	}
	if errors.Is(err, sqldb.ErrNoTable) {
		// Only an older program, which made the place anew, can have left out
		// what was seen there before.
		p.seen.Delete(p.key(t))
		return fmt.Errorf("%w: %w", petstore.ErrBehind, err)
	}
	if err != nil && !p.shared() && p.engine.gone(err, p.isolation, t) {
		return petstore.ErrNoTenant
	}
	return err
}

// drop removes t's tables, when no request uses them any more.
func (p *place) drop(ctx context.Context, t tenant.Slug) error {
	p.seen.Delete(t)
	if err := p.handles.forget(ctx, t); err != nil {
		return err
	}
	return p.engine.drop(ctx, p.isolation, t)
}
