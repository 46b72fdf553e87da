package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// A process that holds a lock may be stopped for longer than its lease: by a
// debugger, a full machine, a laptop's lid. When it goes on, another has taken
// the lock and may have undone or finished the work. So the lease is checked by
// each step again, in the transaction that changes something, where the lock's
// row stays locked until that is done.

// lease is a lock that is held, in the context of what is done under it.
type lease struct {
	name, holder string
	outer        *lease // of a lock that was held already
}

type leaseKey struct{}

func withLease(ctx context.Context, name, holder string) context.Context {
	outer, _ := ctx.Value(leaseKey{}).(*lease)
	return context.WithValue(ctx, leaseKey{}, &lease{name, holder, outer})
}

// errLost is [ErrLocked] for a process that had the lock before.
var errLost = fmt.Errorf("%w: the lease expired and was taken by another", ErrLocked)

// checkLease refuses a transaction of somebody who has lost a lock that the
// work is done under. Outside of such work it does nothing.
func (c *Catalog) checkLease(ctx context.Context, tx sqldb.Conn) error {
	for held, _ := ctx.Value(leaseKey{}).(*lease); held != nil; held = held.outer {
		n, err := sqldb.Affected(ctx, tx, `UPDATE catalog_locks SET expires_at = $3 WHERE name = $1 AND holder = $2`,
			held.name, held.holder, c.now().Add(leaseTime).UnixMicro())
		if err != nil {
			return err
		}
		if n != 1 {
			return fmt.Errorf("going on under the lock %q: %w", held.name, errLost)
		}
	}
	return nil
}

// write runs f in a transaction on the catalog that changes no tenant; change is
// for those that do.
func (c *Catalog) write(ctx context.Context, f func(tx sqldb.Conn) error) error {
	return c.db.Update(ctx, func(tx sqldb.Conn) error {
		if err := c.checkLease(ctx, tx); err != nil {
			return err
		}
		return f(tx)
	})
}

// stepTime bounds a step: less than a lease lasts, and than Postgres lets a
// transaction wait.
const stepTime = 20 * time.Second

// step changes tenants' data, which may be in another database than the lease.
// Until f has ended, nobody can take the lock.
func (c *Catalog) step(ctx context.Context, name string, f func(ctx context.Context, tx sqldb.Conn) error) error {
	c.crash("before " + name)
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	return c.db.Hold(ctx, func(ctx context.Context, tx sqldb.Conn) error {
		if err := c.checkLease(ctx, tx); err != nil {
			return err
		}
		return f(ctx, tx)
	})
}

// removePlace deletes a place in which the tenant is not: the other end of a
// move, or that of a tenant which is to be no more.
func (c *Catalog) removePlace(ctx context.Context, slug tenant.Slug, i petstore.Isolation) error {
	return c.step(ctx, "removing "+string(i), func(ctx context.Context, tx sqldb.Conn) error {
		t, err := getTenant(ctx, tx, slug)
		switch {
		case errors.Is(err, tenant.ErrNotFound):
		case err != nil:
			return err
		case t.Isolation == i && (t.Status == tenant.Active || t.Status == tenant.Suspended):
			return fmt.Errorf("removing %q: %w: the tenant's data is there", i, ErrState)
		}
		return c.storage.Remove(ctx, slug, i)
	})
}
