// Package sqlstore keeps pets in SQL: two engines (SQLite, Postgres) times
// three isolation strategies (shared, schema, database).
//
// Every statement is written once, in statements.go, and carries the tenant
// predicate in every strategy; the strategy is the wall behind it. An engine
// is one file; what is common to the strategies is engine.go.
//
// It knows no HTTP.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Router says where a tenant's data is. fresh asks it to look again instead of
// answering from what it remembers. A tenant that it does not know is
// [petstore.ErrNoTenant].
type Router func(ctx context.Context, t tenant.Slug, fresh bool) (petstore.Isolation, error)

// Always is the Router of a store in which all tenants use one strategy.
func Always(i petstore.Isolation) Router {
	return func(context.Context, tenant.Slug, bool) (petstore.Isolation, error) { return i, nil }
}

// Store implements [petstore.Store] over any number of strategies at once, so
// that a tenant can move from one to another. Make one with [Open].
type Store struct {
	places map[petstore.Isolation]*place
	route  Router
	engine sqldb.Engine
	sql    statements
	target int64 // the version that the statements need
	now    func() time.Time
	close  func() error
}

// Pets implements [petstore.Store].
func (s *Store) Pets(t tenant.Slug) petstore.Pets { return pets{s, t} }

// view finds t's place and runs f there.
func (s *Store) view(ctx context.Context, t tenant.Slug, f func(sqldb.Conn) error) error {
	return s.in(ctx, t, func(p *place) error {
		return p.view(ctx, t, func(c sqldb.Conn) error {
			if err := s.check(ctx, c, p, t, false); err != nil {
				return err
			}
			return f(c)
		})
	})
}

// update is view for writes: a frozen tenant is refused. The check holds until
// the transaction ends, so that freezing waits for writes that have begun.
func (s *Store) update(ctx context.Context, t tenant.Slug, f func(sqldb.Conn) error) error {
	return s.in(ctx, t, func(p *place) error {
		return p.update(ctx, t, func(c sqldb.Conn) error {
			if err := s.check(ctx, c, p, t, true); err != nil {
				return err
			}
			return f(c)
		})
	})
}

// in runs f at t's place. A tenant that is no longer there may have moved a
// moment ago: its place is looked up again, once.
func (s *Store) in(ctx context.Context, t tenant.Slug, f func(*place) error) error {
	isolation, err := s.route(ctx, t, false)
	if err != nil {
		return err
	}
	p, err := s.place(isolation)
	if err != nil {
		return err
	}
	err = f(p)
	if !errors.Is(err, petstore.ErrNoTenant) && !errors.Is(err, petstore.ErrFrozen) {
		return err
	}
	again, routeErr := s.route(ctx, t, true)
	if routeErr != nil || again == isolation {
		return err
	}
	if p, err = s.place(again); err != nil {
		return err
	}
	return f(p)
}

func (s *Store) place(i petstore.Isolation) (*place, error) {
	p := s.places[i]
	if p == nil {
		return nil, fmt.Errorf("finding the place of isolation %q: %w: it is not set up", i, petstore.ErrUnavailable)
	}
	return p, nil
}

// check makes sure that t has a space at p, in a version that the statements
// understand, and on a write that it is not frozen.
func (s *Store) check(ctx context.Context, c sqldb.Conn, p *place, t tenant.Slug, write bool) error {
	if _, current := p.seen.Load(p.key(t)); !current {
		var version int64
		err := c.QueryRowContext(ctx, schemaVersion).Scan(&version)
		if errors.Is(sqldb.Classify(err), sqldb.ErrNoTable) {
			return petstore.ErrNoTenant
		}
		if err != nil {
			return err
		}
		if version < s.target {
			return fmt.Errorf("%w: version %d, expected %d", petstore.ErrBehind, version, s.target)
		}
		p.seen.Store(p.key(t), true)
	}
	query := spaceState
	if write && s.engine == sqldb.Postgres {
		query += forShare
	}
	var state string
	err := c.QueryRowContext(ctx, query, t.String()).Scan(&state)
	switch {
	case errors.Is(err, sql.ErrNoRows), errors.Is(sqldb.Classify(err), sqldb.ErrNoTable):
		return petstore.ErrNoTenant
	case err != nil:
		return err
	case write && state != stateOpen:
		return petstore.ErrFrozen
	}
	return nil
}

// The states of a tenant's space.
const (
	stateOpen   = "open"
	stateFrozen = "frozen"
)

// Close closes every database but the main one, which stays its opener's.
func (s *Store) Close() error {
	var all error
	for _, p := range s.places {
		all = errors.Join(all, p.handles.close())
	}
	return errors.Join(all, s.close())
}

var _ petstore.Store = (*Store)(nil)
