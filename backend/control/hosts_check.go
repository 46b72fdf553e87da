package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// HostChecker asks DNS whether tenants' claims to hosts are true, again and
// again. Several may work on one catalog. Catalog and Resolver are required.
type HostChecker struct {
	Catalog  *Catalog
	Resolver Resolver
}

// Resolver asks DNS.
type Resolver interface {
	// TXT returns the texts of the name's TXT records, each joined from its
	// parts, or [ErrNoRecord]. Any other error says nothing about the name.
	TXT(ctx context.Context, name string) ([]string, error)
	// CNAME returns what the name's CNAME record points to, in lower case and
	// without a final dot, or [ErrNoRecord].
	CNAME(ctx context.Context, name string) (string, error)
}

// ErrNoRecord means that the authority for the name says that there is no such
// record.
var ErrNoRecord = errors.New("no such record")

// How much is done in one round, and for how long a claim belongs to the
// checker that took it up.
const (
	hostBatch   = 64
	hostWorkers = 8
	hostLease   = 2 * time.Minute
)

// Run checks what is due, every second, until ctx ends.
func (h *HostChecker) Run(ctx context.Context, log *slog.Logger) {
	repeat(ctx, time.Second, log, "check hosts", func(ctx context.Context) error {
		_, err := h.CheckDue(ctx)
		return err
	})
}

// CheckDue checks the claims that are due, some at a time, and returns their
// number.
func (h *HostChecker) CheckDue(ctx context.Context) (n int, err error) {
	var due []HostClaim
	err = h.Catalog.db.View(ctx, func(tx sqldb.Conn) (err error) {
		due, err = h.Catalog.hostClaims(ctx, tx, `WHERE next_at <= $1 ORDER BY next_at LIMIT $2`, h.Catalog.now().UnixMicro(), hostBatch)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("looking for hosts to check: %w", err)
	}
	var (
		work  sync.WaitGroup
		mu    sync.Mutex
		slots = make(chan struct{}, hostWorkers)
	)
	for _, claim := range due {
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			mine, err2 := h.take(ctx, claim)
			if err2 == nil && mine {
				err2 = h.check(ctx, claim)
			}
			mu.Lock()
			defer mu.Unlock()
			if err2 != nil {
				err = errors.Join(err, fmt.Errorf("checking host %q: %w", claim.Host, err2))
			} else if mine {
				n++
			}
		})
	}
	work.Wait()
	return n, err
}

// CheckNow checks one claim, due or not, and returns what it is then.
func (h *HostChecker) CheckNow(ctx context.Context, slug tenant.Slug, host string) (HostClaim, error) {
	find := func() (HostClaim, error) {
		claims, err := h.Catalog.HostClaims(ctx, slug)
		if err != nil {
			return HostClaim{}, err
		}
		i := slices.IndexFunc(claims, func(c HostClaim) bool { return c.Host == host })
		if i < 0 {
			return HostClaim{}, ErrNoHost
		}
		return claims[i], nil
	}
	claim, err := find()
	if err != nil || claim.Token == "" {
		return claim, err
	}
	if err := h.check(ctx, claim); err != nil {
		return HostClaim{}, fmt.Errorf("checking host %q: %w", host, err)
	}
	return find()
}

// take makes a claim this checker's for a while.
func (h *HostChecker) take(ctx context.Context, claim HostClaim) (mine bool, err error) {
	err = h.Catalog.write(ctx, func(tx sqldb.Conn) error {
		n, err := sqldb.Affected(ctx, tx, `UPDATE host_claims SET next_at = $3 WHERE token = $1 AND next_at = $2`,
			claim.Token, claim.next.UnixMicro(), h.Catalog.now().Add(hostLease).UnixMicro())
		mine = n == 1
		return err
	})
	return mine, err
}

// check asks DNS, with no transaction open, and stores what follows.
func (h *HostChecker) check(ctx context.Context, claim HostClaim) error {
	ctx, cancel := context.WithTimeout(ctx, hostLease/2)
	defer cancel()
	var found proof
	texts, err := h.Resolver.TXT(ctx, claim.ChallengeName())
	switch {
	case errors.Is(err, ErrNoRecord):
		found = proofMissing
	case err != nil:
		found = proofUnknown
	case slices.Contains(texts, claim.Token):
		found = proofThere
	default:
		found = proofWrong
	}
	target, err := h.Resolver.CNAME(ctx, claim.Host)
	if err == nil || errors.Is(err, ErrNoRecord) {
		claim.Routed = target == claim.Target
	}
	now := h.Catalog.now().UTC()
	claim.CheckedAt = now
	next, act := decide(claim, found, now)
	return h.Catalog.settleHost(ctx, next, act)
}

// settleHost does what was decided about a claim, unless it was given up
// meanwhile.
func (c *Catalog) settleHost(ctx context.Context, h HostClaim, act hostAction) error {
	if act == hostKeep {
		return c.write(ctx, func(tx sqldb.Conn) error { return writeHostClaim(ctx, tx, h) })
	}
	return c.change(ctx, func(tx sqldb.Conn) error {
		claims, err := c.hostClaims(ctx, tx, `WHERE token = $1`, h.Token)
		if err != nil || len(claims) == 0 {
			return err
		}
		t, err := getTenant(ctx, tx, h.Slug)
		if err != nil {
			return err
		}
		if claims[0].State == HostPending && slices.Contains(t.Hosts, h.Host) {
			// An operator has vouched for the host meanwhile: the claim is void.
			return sqldb.Exec(ctx, tx, `DELETE FROM host_claims WHERE token = $1`, h.Token)
		}
		if act == hostVerify && (t.Status == tenant.Deactivated || t.Status == tenant.Purged) {
			act = hostExpire
		}
		if act == hostVerify {
			owner, err := c.hostOwner(ctx, tx, h.Host)
			if err != nil {
				return err
			}
			if owner != "" && owner != h.Slug.String() {
				claims[0].CheckedAt, claims[0].next = h.CheckedAt, h.CheckedAt.Add(time.Hour)
				claims[0].Problem = "the records are right, but another customer has the domain or had it until lately; it is freed some time after that customer's records are gone"
				return writeHostClaim(ctx, tx, claims[0])
			}
			if err := writeHostClaim(ctx, tx, h); err != nil {
				return err
			}
			after := append(slices.Clone(t.Hosts), h.Host)
			slices.Sort(after)
			return c.putHosts(ctx, tx, t, slices.Compact(after), h.Host, "host.verify")
		}
		if err := sqldb.Exec(ctx, tx, `DELETE FROM host_claims WHERE token = $1`, h.Token); err != nil {
			return err
		}
		return c.dropHost(ctx, tx, t, h.Host, string(act))
	})
}
