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

// maxClaim is the longest subject or token id that a gateway reads, in bytes.
const maxClaim = 255

// Revocation refuses tokens before their time.
type Revocation struct {
	ID string `json:"id"`
	// TokenID is one token's "jti", or Subject the "sub" of many: exactly one
	// of them is set.
	TokenID string `json:"token_id,omitempty"`
	Subject string `json:"subject,omitempty"`
	// Issuer is whose tokens are meant; empty for every issuer's.
	Issuer string `json:"issuer,omitempty"`
	// Before spares a subject's tokens that were issued later. It is zero for
	// a token.
	Before time.Time `json:"before,omitzero"`
	// Until is when the last of those tokens has expired; the entry is dropped
	// then. Zero keeps it.
	Until     time.Time `json:"until,omitzero"`
	CreatedAt time.Time `json:"created_at"`
}

// row is the kind and the value in the catalog.
func (r *Revocation) row() (kind, value string) {
	if r.TokenID != "" {
		return "token", r.TokenID
	}
	return "subject", r.Subject
}

func (r *Revocation) check(now time.Time) error {
	var bad petstore.Invalid
	claim := func(field, value string) {
		if len(value) > maxClaim || !isPrint(value) {
			bad.Add(field, "expected at most %d bytes of printable characters", maxClaim)
		}
	}
	switch {
	case r.TokenID != "" && r.Subject != "":
		bad.Add("subject", "expected token_id or subject, not both")
	case r.TokenID == "" && r.Subject == "":
		bad.Add("token_id", "expected token_id, a token's jti, or subject")
	case r.TokenID != "" && !r.Before.IsZero():
		bad.Add("before", "expected only with subject: a token's id names one token")
	}
	claim("token_id", r.TokenID)
	claim("subject", r.Subject)
	claim("issuer", r.Issuer)
	if !r.Before.IsZero() && (r.Before.UnixMicro() <= 0 || r.Before.After(now.Add(time.Minute))) {
		bad.Add("before", "expected a time after 1970 that is not in the future")
	}
	if !r.Until.IsZero() && !r.Until.After(now) {
		bad.Add("until", "expected a time in the future, when the last of these tokens has expired")
	}
	return bad.Err()
}

// Revoke adds a revocation and returns it with its id. A subject's Before is
// now unless given. One for the same tokens is replaced: a subject's by the
// later Before. Errors: [*petstore.Invalid].
func (c *Catalog) Revoke(ctx context.Context, r Revocation) (Revocation, error) {
	now := c.now().UTC()
	if err := r.check(now); err != nil {
		return Revocation{}, err
	}
	if r.Subject != "" && r.Before.IsZero() {
		r.Before = now
	}
	r.Before, r.Until = sqldb.Time(sqldb.Micros(r.Before)), sqldb.Time(sqldb.Micros(r.Until))
	kind, value := r.row()
	err := c.write(ctx, func(tx sqldb.Conn) (err error) {
		// What has served its time goes, so that the list does not grow for ever.
		if err := sqldb.Exec(ctx, tx, `DELETE FROM revocations WHERE until <> 0 AND until < $1`, now.Add(-time.Hour).UnixMicro()); err != nil {
			return err
		}
		r, err = scanRevocation(tx.QueryRowContext(ctx, `INSERT INTO revocations (`+revocationColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (kind, value, issuer) DO UPDATE SET until = excluded.until,
				before = CASE WHEN excluded.before > revocations.before THEN excluded.before ELSE revocations.before END
			RETURNING `+revocationColumns,
			petstore.NewID(now), kind, value, r.Issuer, sqldb.Micros(r.Before), sqldb.Micros(r.Until), now.UnixMicro()).Scan)
		if err != nil {
			return err
		}
		return c.record(ctx, tx, "revocation.create", tenant.Slug{}, nil, r)
	})
	if err != nil {
		return Revocation{}, fmt.Errorf("revoking tokens: %w", err)
	}
	return r, nil
}

// Revocations lists up to limit revocations, ordered by id, which is by age,
// beginning after the id given.
func (c *Catalog) Revocations(ctx context.Context, after string, limit int) (list []Revocation, err error) {
	err = c.db.View(ctx, func(tx sqldb.Conn) (err error) {
		list, err = sqldb.All(ctx, tx, scanRevocation, `SELECT `+revocationColumns+` FROM revocations WHERE id > $1 ORDER BY id LIMIT $2`, after, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing revocations: %w", err)
	}
	return list, nil
}

// Unrevoke takes a revocation back: its tokens are good again until they
// expire. Errors: [ErrNoCredential].
func (c *Catalog) Unrevoke(ctx context.Context, id string) error {
	if !petstore.ValidID(id) {
		return ErrNoCredential
	}
	err := c.write(ctx, func(tx sqldb.Conn) error {
		r, err := scanRevocation(tx.QueryRowContext(ctx, `DELETE FROM revocations WHERE id = $1 RETURNING `+revocationColumns, id).Scan)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNoCredential
		}
		if err != nil {
			return err
		}
		return c.record(ctx, tx, "revocation.delete", tenant.Slug{}, r, nil)
	})
	if err != nil {
		return fmt.Errorf("taking a revocation back: %w", err)
	}
	return nil
}

const revocationColumns = `id, kind, value, issuer, before, until, created_at`

func scanRevocation(scan sqldb.Scan) (r Revocation, err error) {
	var kind, value string
	var before, until, created int64
	if err := scan(&r.ID, &kind, &value, &r.Issuer, &before, &until, &created); err != nil {
		return r, err
	}
	if r.TokenID = value; kind == "subject" {
		r.TokenID, r.Subject = "", value
	}
	r.Before, r.Until, r.CreatedAt = sqldb.Time(before), sqldb.Time(until), sqldb.Time(created)
	return r, nil
}
