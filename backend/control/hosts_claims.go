package control

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// States of a [HostClaim].
const (
	HostPending  = "pending"  // waits for its proof in DNS
	HostVerified = "verified" // served by the gateway
)

// HostClaim is a domain that a tenant says is its own.
type HostClaim struct {
	Host  string      `json:"host"`
	Slug  tenant.Slug `json:"-"`
	State string      `json:"state"`
	// Token is what a TXT record at [HostClaim.ChallengeName] must hold. It is
	// empty for a host that an operator has vouched for.
	Token string `json:"-"`
	// Target is what the host's CNAME record should point to: a name of this
	// claim alone, so that a record that is left behind never leads to whoever
	// claims the host next.
	Target string `json:"-"`
	// Routed is true if the host's CNAME record is Target. It is false for a
	// domain that reaches the gateway by address records, which is no fault.
	Routed    bool      `json:"routed"`
	CreatedAt time.Time `json:"created_at"`
	// VerifiedAt and CheckedAt are zero before the first time.
	VerifiedAt time.Time `json:"verified_at,omitzero"`
	CheckedAt  time.Time `json:"checked_at,omitzero"`
	// FailingSince is when the proof of a verified host was first missing; zero
	// while it is there.
	FailingSince time.Time `json:"failing_since,omitzero"`
	// Problem says what the last check found wrong, in words for the tenant.
	Problem string `json:"problem,omitempty"`

	next time.Time
}

// ChallengeName is where the proof belongs.
func (h HostClaim) ChallengeName() string { return challengeLabel + h.Host }

// ClaimHost records that the tenant says the domain is its own, and returns
// what proves it. A second call returns the first one's claim and false. The
// domain may have non-ASCII letters, which are encoded here and nowhere else.
//
// A host that another tenant has, or had until a moment ago, is [ErrTaken],
// unless blind is true: then it waits like any other, since whoever asks must
// not learn who else is a customer. Other errors: [*petstore.Invalid],
// [tenant.ErrNotFound], [ErrState] for a tenant that is on its way out or has
// all the hosts it may have.
func (c *Catalog) ClaimHost(ctx context.Context, slug tenant.Slug, host string, blind bool) (claim HostClaim, created bool, err error) {
	var bad petstore.Invalid
	name := c.ownHost(&bad, "host", host)
	if err := bad.Err(); err != nil {
		return HostClaim{}, false, err
	}
	for range 2 { // the second time finds what another call has just written
		claim, created, err = c.claimHost(ctx, slug, name, blind)
		if !errors.Is(err, sqldb.ErrUnique) {
			break
		}
	}
	if err != nil {
		return HostClaim{}, false, fmt.Errorf("claiming host %q: %w", name, err)
	}
	return claim, created, nil
}

func (c *Catalog) claimHost(ctx context.Context, slug tenant.Slug, name string, blind bool) (claim HostClaim, created bool, err error) {
	err = c.write(ctx, func(tx sqldb.Conn) error {
		t, err := getTenant(ctx, tx, slug)
		if err != nil {
			return err
		}
		if t.Status == tenant.Deactivated || t.Status == tenant.Purged {
			return ErrState
		}
		claims, err := c.hostClaims(ctx, tx, `WHERE slug = $1`, slug.String())
		if err != nil {
			return err
		}
		count := len(t.Hosts)
		for _, claim = range claims {
			if claim.Host == name {
				return nil
			}
			if claim.State == HostPending {
				count++
			}
		}
		if slices.Contains(t.Hosts, name) {
			claim = vouchedFor(t, name)
			return nil
		}
		if count >= maxHosts {
			return fmt.Errorf("%w: a tenant may have %d hosts", ErrState, maxHosts)
		}
		if owner, err := c.hostOwner(ctx, tx, name); err != nil {
			return err
		} else if owner != "" && owner != slug.String() && !blind {
			return ErrTaken
		}
		now := c.now().UTC()
		claim = HostClaim{
			Host: name, Slug: slug, State: HostPending, CreatedAt: now, next: now,
			Token: NewSecret("tenancy-"), Target: strings.ToLower(rand.Text()) + "." + c.hostTarget(),
		}
		created = true
		err = sqldb.Exec(ctx, tx, `INSERT INTO host_claims (host, slug, token, target, state, created_at, next_at) VALUES ($1, $2, $3, $4, $5, $6, $6)`,
			name, slug.String(), claim.Token, claim.Target, claim.State, now.UnixMicro())
		if err != nil {
			return err
		}
		return c.record(ctx, tx, "host.claim", slug, nil, map[string]string{"host": name})
	})
	return claim, created, err
}

// hostTarget is the domain of the targets. The operator points a wildcard
// record of it at the gateway.
func (c *Catalog) hostTarget() string { return "hosts." + c.baseDomain }

// hostOwner returns the slug of the tenant that has the host, or for which it
// is held; "" if there is none.
func (c *Catalog) hostOwner(ctx context.Context, tx sqldb.Conn, host string) (owner string, err error) {
	err = tx.QueryRowContext(ctx, `SELECT slug FROM tenant_hosts WHERE host = $1
		UNION ALL SELECT slug FROM host_holds WHERE host = $1 AND until > $2 LIMIT 1`, host, c.now().UnixMicro()).Scan(&owner)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return owner, err
}

// HostClaims returns the tenant's domains in the order of their names: claims,
// and those that an operator has vouched for.
func (c *Catalog) HostClaims(ctx context.Context, slug tenant.Slug) (claims []HostClaim, err error) {
	err = c.db.View(ctx, func(tx sqldb.Conn) error {
		t, err := getTenant(ctx, tx, slug)
		if err != nil {
			return err
		}
		if claims, err = c.hostClaims(ctx, tx, `WHERE slug = $1`, slug.String()); err != nil {
			return err
		}
		for _, host := range t.Hosts {
			if !slices.ContainsFunc(claims, func(h HostClaim) bool { return h.Host == host }) {
				claims = append(claims, vouchedFor(t, host))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the hosts of tenant %q: %w", slug, err)
	}
	slices.SortFunc(claims, func(a, b HostClaim) int { return strings.Compare(a.Host, b.Host) })
	return claims, nil
}

func vouchedFor(t Tenant, host string) HostClaim {
	return HostClaim{Host: host, Slug: t.Slug, State: HostVerified, CreatedAt: t.CreatedAt}
}

// ReleaseHost gives a domain up: from now on the gateway refuses it, and for a
// while nobody but this tenant may claim it again. A host that the tenant does
// not have is [ErrNoHost].
func (c *Catalog) ReleaseHost(ctx context.Context, slug tenant.Slug, host string) error {
	host, err := tenant.NormalizeHost(host)
	if err != nil {
		return ErrNoHost
	}
	err = c.change(ctx, func(tx sqldb.Conn) error {
		t, err := getTenant(ctx, tx, slug)
		if err != nil {
			return err
		}
		n, err := sqldb.Affected(ctx, tx, `DELETE FROM host_claims WHERE host = $1 AND slug = $2`, host, slug.String())
		if err != nil {
			return err
		}
		if n == 0 && !slices.Contains(t.Hosts, host) {
			return ErrNoHost
		}
		return c.dropHost(ctx, tx, t, host, "host.release")
	})
	if err != nil {
		return fmt.Errorf("releasing host %q: %w", host, err)
	}
	return nil
}

// ErrNoHost means that the tenant has no such host.
var ErrNoHost = errors.New("no such host")

// dropHost takes a host from its tenant, if it has it, and holds it.
func (c *Catalog) dropHost(ctx context.Context, tx sqldb.Conn, t Tenant, host, action string) error {
	after := slices.DeleteFunc(slices.Clone(t.Hosts), func(h string) bool { return h == host })
	return c.putHosts(ctx, tx, t, after, host, action)
}

// putHosts replaces a tenant's hosts, because of what was done to one.
func (c *Catalog) putHosts(ctx context.Context, tx sqldb.Conn, t Tenant, after []string, host, action string) error {
	if err := c.setHosts(ctx, tx, t.Slug, t.Hosts, after); err != nil {
		return err
	}
	t.UpdatedAt = c.now().UTC()
	if err := writeTenant(ctx, tx, t); err != nil {
		return err
	}
	return c.record(ctx, tx, action, t.Slug, nil, map[string]string{"host": host})
}

// hostClaims reads claims. One that names no tenant is left out, as such a
// tenant would be.
func (c *Catalog) hostClaims(ctx context.Context, tx sqldb.Conn, where string, args ...any) (list []HostClaim, err error) {
	err = sqldb.Each(ctx, tx, func(scan sqldb.Scan) error {
		var h HostClaim
		var slug string
		var created, verified, checked, failing, routed, next int64
		err := scan(&h.Host, &slug, &h.Token, &h.Target, &h.State, &created, &verified, &checked, &failing, &routed, &h.Problem, &next)
		if err == nil {
			h.Slug, err = tenant.ParseSlug(slug)
		}
		if err != nil {
			c.log.Warn("claim of a host left out, its row is not readable", "host", h.Host, "tenant", slug, "error", err.Error())
			return nil
		}
		h.CreatedAt, h.VerifiedAt, h.CheckedAt, h.FailingSince, h.next = sqldb.Time(created), sqldb.Time(verified), sqldb.Time(checked), sqldb.Time(failing), sqldb.Time(next)
		h.Routed = routed != 0
		list = append(list, h)
		return nil
	}, `SELECT host, slug, token, target, state, created_at, verified_at, checked_at, failing_since, routed, problem, next_at FROM host_claims `+where, args...)
	return list, err
}

// writeHostClaim stores what a check has found. A claim that was given up
// meanwhile, or made anew with another token, stays as it is.
func writeHostClaim(ctx context.Context, tx sqldb.Conn, h HostClaim) error {
	routed := 0
	if h.Routed {
		routed = 1
	}
	return sqldb.Exec(ctx, tx, `UPDATE host_claims SET state = $3, verified_at = $4, checked_at = $5, failing_since = $6, routed = $7, problem = $8, next_at = $9
		WHERE host = $1 AND token = $2`,
		h.Host, h.Token, h.State, sqldb.Micros(h.VerifiedAt), sqldb.Micros(h.CheckedAt), sqldb.Micros(h.FailingSince), routed, h.Problem, sqldb.Micros(h.next))
}
