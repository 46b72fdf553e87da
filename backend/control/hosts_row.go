package control

import (
	"context"
	"fmt"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// hostClaims reads claims.
func hostClaims(ctx context.Context, tx sqldb.Conn, where string, args ...any) (list []HostClaim, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT host, slug, token, target, state, created_at, verified_at, checked_at, failing_since, routed, problem, next_at
		FROM host_claims `+where, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err reports what matters
	for rows.Next() {
		var h HostClaim
		var slug string
		var created, verified, checked, failing, routed, next int64
		if err := rows.Scan(&h.Host, &slug, &h.Token, &h.Target, &h.State, &created, &verified, &checked, &failing, &routed, &h.Problem, &next); err != nil {
			return nil, err
		}
		if h.Slug, err = tenant.ParseSlug(slug); err != nil {
			return nil, fmt.Errorf("reading the claim of host %q: %w", h.Host, err)
		}
		h.CreatedAt, h.VerifiedAt, h.CheckedAt, h.FailingSince, h.next = instant(created), instant(verified), instant(checked), instant(failing), instant(next)
		h.Routed = routed != 0
		list = append(list, h)
	}
	return list, rows.Err()
}

// writeHostClaim stores what a check has found. A claim that was given up
// meanwhile, or made anew with another token, stays as it is.
func writeHostClaim(ctx context.Context, tx sqldb.Conn, h HostClaim) error {
	routed := 0
	if h.Routed {
		routed = 1
	}
	_, err := tx.ExecContext(ctx, `UPDATE host_claims SET state = $3, verified_at = $4, checked_at = $5, failing_since = $6, routed = $7, problem = $8, next_at = $9
		WHERE host = $1 AND token = $2`,
		h.Host, h.Token, h.State, micros(h.VerifiedAt), micros(h.CheckedAt), micros(h.FailingSince), routed, h.Problem, micros(h.next))
	return err
}

// instant and micros turn the catalog's times, in which 0 is none.
func instant(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
