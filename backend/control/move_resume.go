package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// ResumeMoves finishes moves that were cut off after the switch, undoes those
// that were cut off before it, and returns how many.
func (c *Catalog) ResumeMoves(ctx context.Context) (resumed int, err error) {
	var list []tenant.Slug
	err = c.db.View(ctx, func(tx sqldb.Conn) error {
		return sqldb.Each(ctx, tx, func(scan sqldb.Scan) error {
			var text string
			err := scan(&text)
			if err != nil {
				return err
			}
			slug, err := tenant.ParseSlug(text)
			if err != nil {
				c.log.Warn("move left out, its row is not readable", "tenant", text, "error", err.Error())
				return nil
			}
			list = append(list, slug)
			return nil
		}, `SELECT slug FROM moves ORDER BY slug`)
	})
	if err != nil {
		return 0, fmt.Errorf("looking for moves that were cut off: %w", err)
	}
	for _, slug := range list {
		one := c.lockedTenant(ctx, slug, func(ctx context.Context) error {
			_, err := c.resumeMove(ctx, slug)
			return err
		})
		switch {
		case one == nil:
			resumed++
		case !errors.Is(one, ErrBusy):
			err = errors.Join(err, fmt.Errorf("resuming the move of tenant %q: %w", slug, one))
		}
	}
	return resumed, err
}
