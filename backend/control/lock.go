package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// ErrLocked means that another process is doing what only one may do.
var ErrLocked = errors.New("another run has the lock")

// Leases are renewed well before they expire.
const (
	leaseTime  = 30 * time.Second
	leaseRenew = 5 * time.Second
)

// locked runs f while holding a named lock on the catalog. The lock is a row,
// the same on every engine. When its holder dies, a process on the same
// machine takes it over at once, and any other after leaseTime at most. When
// the lease cannot be renewed in time, f's context ends; and whatever f writes with
// its context is refused once somebody else has the lock (see fence.go).
func (c *Catalog) locked(ctx context.Context, name string, f func(context.Context) error) (err error) {
	holder, err := c.lock(ctx, name)
	if err != nil {
		return err
	}
	held, cancel := context.WithCancelCause(withLease(ctx, name, holder))
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		c.renew(held, cancel, name, holder)
	}()
	defer func() {
		cancel(nil)
		<-stopped
		release, stop := context.WithTimeout(context.WithoutCancel(ctx), leaseRenew)
		defer stop()
		// A lock that cannot be given back expires by itself.
		_ = c.db.Update(release, func(tx sqldb.Conn) error {
			return sqldb.Exec(release, tx, `DELETE FROM catalog_locks WHERE name = $1 AND holder = $2`, name, holder)
		})
	}()
	return f(held)
}

// lockedTenant is locked for work on one tenant. [ErrBusy] means that somebody
// else works on it.
func (c *Catalog) lockedTenant(ctx context.Context, slug tenant.Slug, f func(context.Context) error) error {
	err := c.locked(ctx, "tenant "+slug.String(), f)
	if errors.Is(err, ErrLocked) {
		return ErrBusy
	}
	return err
}

func (c *Catalog) lock(ctx context.Context, name string) (holder string, err error) {
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("naming the lock's holder: %w", err)
	}
	// The last part tells two holders in one process apart.
	holder = fmt.Sprintf("%s %d %s", host, os.Getpid(), NewSecret(""))
	err = c.db.Update(ctx, func(tx sqldb.Conn) error {
		now := c.now()
		n, err := sqldb.Affected(ctx, tx, `INSERT INTO catalog_locks (name, holder, expires_at) VALUES ($1, $2, $3)
			ON CONFLICT (name) DO UPDATE SET holder = $2, expires_at = $3 WHERE catalog_locks.expires_at < $4`,
			name, holder, now.Add(leaseTime).UnixMicro(), now.UnixMicro())
		if err != nil || n == 1 {
			return err
		}
		var other string
		if err := tx.QueryRowContext(ctx, `SELECT holder FROM catalog_locks WHERE name = $1`, name).Scan(&other); err != nil {
			return err
		}
		if !dead(other, host) {
			return fmt.Errorf("%w: held by process %q", ErrLocked, other)
		}
		return sqldb.Exec(ctx, tx, `UPDATE catalog_locks SET holder = $2, expires_at = $3 WHERE name = $1`,
			name, holder, now.Add(leaseTime).UnixMicro())
	})
	if err != nil {
		return "", fmt.Errorf("locking %q: %w", name, err)
	}
	return holder, nil
}

// dead reports whether a holder was a process of this machine that is gone.
func dead(holder, host string) bool {
	parts := strings.Fields(holder)
	if len(parts) != 3 || parts[0] != host {
		return false
	}
	pid, err := strconv.Atoi(parts[1])
	return err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

func (c *Catalog) renew(ctx context.Context, cancel context.CancelCauseFunc, name, holder string) {
	tick := time.NewTicker(leaseRenew)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := c.db.Update(ctx, func(tx sqldb.Conn) error {
			n, err := sqldb.Affected(ctx, tx, `UPDATE catalog_locks SET expires_at = $3 WHERE name = $1 AND holder = $2`,
				name, holder, c.now().Add(leaseTime).UnixMicro())
			if err == nil && n != 1 {
				return ErrLocked
			}
			return err
		})
		switch {
		case err == nil:
			last = time.Now()
		case errors.Is(err, ErrLocked), time.Since(last) > leaseTime-2*leaseRenew:
			cancel(fmt.Errorf("renewing the lock %q: %w", name, err))
			return
		}
	}
}
