package control

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"

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
		err = c.db.Update(ctx, func(tx sqldb.Conn) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO catalog_facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, fresh())
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

// CursorKey returns the 32 bytes that seal cursors, the same for every process
// on this catalog and over restarts.
func (c *Catalog) CursorKey(ctx context.Context) ([]byte, error) {
	value, err := c.fact(ctx, "cursor_key", func() string {
		var b [32]byte
		_, _ = rand.Read(b[:]) // never fails
		return hex.EncodeToString(b[:])
	})
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(value)
	if err != nil || len(key) != 32 {
		return nil, errors.New(`reading the fact "cursor_key": expected 64 hexadecimal digits`)
	}
	return key, nil
}

// Demo reports whether the demo tenants were made here before, also when they
// have been removed since.
func (c *Catalog) Demo(ctx context.Context) (made bool, err error) {
	var n int
	err = c.db.View(ctx, func(tx sqldb.Conn) error {
		return tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM catalog_facts WHERE name = 'demo'`).Scan(&n)
	})
	return n > 0, err
}

// DemoMade records that the demo tenants were made.
func (c *Catalog) DemoMade(ctx context.Context) error {
	_, err := c.fact(ctx, "demo", func() string { return "made" })
	return err
}
