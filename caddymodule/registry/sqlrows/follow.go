package sqlrows

import (
	"context"
	"errors"
	"fmt"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

// follower finds out what is to be read: of a catalog that counts its changes, what
// is new since the last poll that succeeded; of everybody else's tables everything,
// unless the database knows that nothing was written.
type follower struct {
	Conn

	dialect Dialect
	column  string // of catalog_revision, with the number of the changes; none is asked for if it is empty
	forgot  bool   // everything is to be read
	seen    mark
}

// Forget implements [registry.Forgetful].
func (f *follower) Forget() { f.forgot = true }

// follow calls read within the transaction of a poll, with the number above which
// the changes are, or 0 if everything is to be read.
func (f *follower) follow(ctx context.Context, what string, read func(run Runner, c catalog, since int64) error) error {
	err := f.Poll(ctx, f.forgot, func(run Runner, fresh bool) error {
		if f.column == "" {
			return read(run, catalog{}, 0)
		}
		last := f.seen
		if fresh || f.forgot {
			last = mark{}
		}
		if last.counts {
			if now, err := f.dialect.mark(run, f.column); err != nil {
				return err
			} else if now == last {
				return registry.ErrUnchanged
			}
		}
		c, err := f.dialect.catalog(run)
		if err != nil {
			return err
		}
		f.seen = mark{}
		if c.counts() {
			if f.seen, err = f.dialect.mark(run, f.column); err != nil {
				return err
			}
		}
		since := int64(0)
		if f.seen.counts && f.seen.server == last.server && f.seen.number > last.number { // else another catalog, or an older copy
			since = last.number
		}
		return read(run, c, since)
	})
	f.forgot = err != nil && !errors.Is(err, registry.ErrUnchanged)
	if f.forgot {
		return fmt.Errorf("reading %s from %s: %w", what, f.Conn, err)
	}
	return err
}
