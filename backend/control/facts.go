package control

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
)

// fact returns the value kept under a name, and first keeps what fresh
// returns when there is none. Two processes that start at once get the same.
func (c *Catalog) fact(ctx context.Context, name string, fresh func() string) (value string, err error) {
	read := func(tx sqldb.Conn) error {
		return tx.QueryRowContext(ctx, `SELECT value FROM catalog_facts WHERE name = $1`, name).Scan(&value)
	}
	err = c.db.View(ctx, read)
	if errors.Is(err, sql.ErrNoRows) {
		err = c.write(ctx, func(tx sqldb.Conn) error {
			err := sqldb.Exec(ctx, tx, `INSERT INTO catalog_facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, fresh())
			if err != nil {
				return err
			}
			return read(tx)
		})
	}
	if err != nil {
		return "", fmt.Errorf("reading the fact %q: %w", name, err)
	}
	return value, nil
}

// CursorKey returns the secret that seals cursors, the same for every process
// on this catalog and over restarts.
func (c *Catalog) CursorKey(ctx context.Context) ([]byte, error) {
	value, err := c.fact(ctx, "cursor_key", func() string { return rand.Text() + rand.Text() })
	return []byte(value), err
}

// DemoOnce runs f, which makes the demo tenants, unless that was done here
// before, also when they have been removed since. Of several processes that
// start at once one makes them, and the others wait until it has: none serves
// without them. An f that fails is run again by the next call.
func (c *Catalog) DemoOnce(ctx context.Context, f func(context.Context) error) error {
	for {
		made, err := c.demoMade(ctx)
		if err != nil || made {
			return err
		}
		err = c.locked(ctx, "demo", func(ctx context.Context) error {
			if made, err := c.demoMade(ctx); err != nil || made {
				return err
			}
			if err := f(ctx); err != nil {
				return err
			}
			_, err := c.fact(ctx, "demo", func() string { return "made" })
			return err
		})
		if !errors.Is(err, ErrLocked) && !errors.Is(err, ErrBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPause):
		}
	}
}

// lockPause is how long a process waits before it asks for a lock again.
const lockPause = 50 * time.Millisecond

func (c *Catalog) demoMade(ctx context.Context) (made bool, err error) {
	var n int
	err = c.db.View(ctx, func(tx sqldb.Conn) error {
		return tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM catalog_facts WHERE name = 'demo'`).Scan(&n)
	})
	return n > 0, err
}
