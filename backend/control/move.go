package control

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

// ErrDiffers means that a copy is not what was copied. The move was undone.
var ErrDiffers = errors.New("the copy differs from the original")

// Move brings a tenant's data from its place to another, while reads go on and
// other tenants notice nothing: writes of this tenant are stopped, the rows
// copied, counts and checksums compared, requests led to the new place, and
// the old one removed. Any difference or error before the switch undoes it.
//
// Writes are refused with [petstore.ErrFrozen] in the meantime. Errors:
// [tenant.ErrNotFound], [ErrState], [ErrBusy], [ErrDiffers].
func (c *Catalog) Move(ctx context.Context, slug tenant.Slug, to petstore.Isolation) error {
	err := c.lockedTenant(ctx, slug, func(ctx context.Context) error { return c.move(ctx, slug, to) })
	if err != nil {
		return fmt.Errorf("moving tenant %q to %q: %w", slug, to, err)
	}
	return nil
}

func (c *Catalog) move(ctx context.Context, slug tenant.Slug, to petstore.Isolation) error {
	var from petstore.Isolation
	err := c.change(ctx, func(tx sqldb.Conn) error {
		t, err := getTenant(ctx, tx, slug)
		if err != nil {
			return err
		}
		from = t.Isolation
		if from == to {
			return nil
		}
		if t.Status != tenant.Active && t.Status != tenant.Suspended {
			return ErrState
		}
		err = sqldb.Exec(ctx, tx, `INSERT INTO moves (slug, source, target, state, started_at) VALUES ($1, $2, $3, 'copying', $4)`,
			slug.String(), string(from), string(to), c.now().UnixMicro())
		if errors.Is(sqldb.Classify(err), sqldb.ErrUnique) {
			return fmt.Errorf("%w: an earlier move is not finished", ErrBusy)
		}
		if err != nil {
			return err
		}
		return c.record(ctx, tx, "tenant.move.begin", slug, viewOf(t), nil)
	})
	if err != nil || from == to {
		return err
	}
	c.crash("move recorded")
	if err := c.copyAndSwitch(ctx, slug, from, to); err != nil {
		// The undoing must not be cut off by what cut off the move.
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		switched, end := c.resumeMove(undo, slug)
		if switched {
			return end // only the answer was lost
		}
		return errors.Join(err, end)
	}
	c.crash("move switched")
	return c.finishMove(ctx, slug, from, to)
}

func (c *Catalog) copyAndSwitch(ctx context.Context, slug tenant.Slug, from, to petstore.Isolation) error {
	err := c.step(ctx, "freezing", func(ctx context.Context, _ sqldb.Conn) error { return c.storage.Freeze(ctx, slug, from) })
	if err != nil {
		return err
	}
	c.crash("move frozen")
	if err := c.removePlace(ctx, slug, to); err != nil { // what an earlier move may have left
		return err
	}
	err = c.step(ctx, "creating", func(ctx context.Context, _ sqldb.Conn) error { return c.storage.CreateFrozen(ctx, slug, to) })
	if err != nil {
		return err
	}
	original, err := c.copyRows(ctx, slug, from, to)
	if err != nil {
		return err
	}
	c.crash("move copied")
	copied, err := c.sumOf(ctx, slug, to)
	if err != nil {
		return err
	}
	if copied != original {
		return fmt.Errorf("%w: %d rows with %s, expected %d with %s", ErrDiffers, copied.Count, copied.SHA256, original.Count, original.SHA256)
	}
	if to != petstore.Shared {
		if err := c.recordPlace(ctx, Place{Name: slug.String(), Version: c.storage.Target()}); err != nil {
			return err
		}
	}
	c.crash("before switching")
	return c.change(ctx, func(tx sqldb.Conn) error {
		t, err := getTenant(ctx, tx, slug)
		if err != nil {
			return err
		}
		before := viewOf(t)
		t.Isolation, t.UpdatedAt = to, c.now().UTC()
		if err := writeTenant(ctx, tx, t); err != nil {
			return err
		}
		if err := sqldb.Exec(ctx, tx, `UPDATE moves SET state = 'switched' WHERE slug = $1`, slug.String()); err != nil {
			return err
		}
		return c.record(ctx, tx, "tenant.move", slug, before, viewOf(t))
	})
}

func (c *Catalog) copyRows(ctx context.Context, slug tenant.Slug, from, to petstore.Isolation) (sum, error) {
	total, copied := newSummer(), loader{catalog: c, slug: slug, to: to}
	err := c.storage.Rows(ctx, slug, from, func(p petstore.Pet) error {
		total.add(toRow(p).line())
		return copied.add(ctx, p)
	})
	if err == nil {
		err = copied.flush(ctx)
	}
	return total.sum(), err
}

func (c *Catalog) sumOf(ctx context.Context, slug tenant.Slug, i petstore.Isolation) (sum, error) {
	total := newSummer()
	err := c.storage.Rows(ctx, slug, i, func(p petstore.Pet) error {
		total.add(toRow(p).line())
		return nil
	})
	return total.sum(), err
}

// finishMove lets writes in at the new place and removes the old one. Before
// that, every process must have learnt of the switch, so that none reads the
// old place while another writes to the new.
func (c *Catalog) finishMove(ctx context.Context, slug tenant.Slug, from, to petstore.Isolation) error {
	settled := time.NewTimer(c.settle)
	defer settled.Stop()
	select {
	case <-settled.C:
	case <-ctx.Done():
		return ctx.Err() // ResumeMoves goes on
	}
	if err := c.thaw(ctx, slug, to); err != nil {
		return err
	}
	c.crash("move thawed")
	if err := c.removePlace(ctx, slug, from); err != nil {
		return err
	}
	return c.endMove(ctx, slug, to)
}

func (c *Catalog) thaw(ctx context.Context, slug tenant.Slug, i petstore.Isolation) error {
	return c.step(ctx, "thawing", func(ctx context.Context, _ sqldb.Conn) error { return c.storage.Thaw(ctx, slug, i) })
}

// resumeMove finishes a move that was switched and undoes one that was not,
// and reports which. The commit of the switch may still be under way when its
// answer is lost: writing to the move's row waits for it, so that what is read
// then stays true.
func (c *Catalog) resumeMove(ctx context.Context, slug tenant.Slug) (switched bool, err error) {
	var from, to petstore.Isolation
	var state string
	c.crash("before resuming")
	err = c.write(ctx, func(tx sqldb.Conn) error {
		return tx.QueryRowContext(ctx, `UPDATE moves SET state = state WHERE slug = $1 RETURNING source, target, state`, slug.String()).Scan(&from, &to, &state)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil // it has ended
	case err != nil:
		return false, err // ResumeMoves goes on
	case state == "switched":
		return true, c.finishMove(ctx, slug, from, to)
	}
	return false, c.undoMove(ctx, slug, from, to)
}

func (c *Catalog) undoMove(ctx context.Context, slug tenant.Slug, from, to petstore.Isolation) error {
	if err := c.removePlace(ctx, slug, to); err != nil {
		return err
	}
	if err := c.thaw(ctx, slug, from); err != nil {
		return err
	}
	return c.endMove(ctx, slug, from)
}

// endMove forgets the move; at is where the tenant is now.
func (c *Catalog) endMove(ctx context.Context, slug tenant.Slug, at petstore.Isolation) error {
	c.crash("before ending")
	return c.write(ctx, func(tx sqldb.Conn) error {
		if at == petstore.Shared {
			if err := sqldb.Exec(ctx, tx, `DELETE FROM schema_status WHERE place = $1`, slug.String()); err != nil {
				return err
			}
		}
		return sqldb.Exec(ctx, tx, `DELETE FROM moves WHERE slug = $1`, slug.String())
	})
}
