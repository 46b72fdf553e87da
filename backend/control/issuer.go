package control

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Issuer is a tenant's own issuer of tokens, for its single sign-on; the zero
// value is none. While a tenant has one, nobody else's tokens are for it.
type Issuer struct {
	// Issuer is the "iss" of its tokens.
	Issuer string `json:"issuer"`
	// JWKS is the URL of its keys.
	JWKS string `json:"jwks"`
}

// maxIssuer is the longest issuer or URL that a gateway reads, in bytes.
const maxIssuer = 255

func (i Issuer) check() error {
	if i == (Issuer{}) {
		return nil
	}
	var bad petstore.Invalid
	for _, f := range []struct{ field, value string }{{"issuer", i.Issuer}, {"jwks", i.JWKS}} {
		if f.value == "" || len(f.value) > maxIssuer || strings.ContainsFunc(f.value, func(c rune) bool { return c <= ' ' || c > '~' }) {
			bad.Add(f.field, "expected 1 to %d visible ASCII characters", maxIssuer)
		}
	}
	if _, err := auth.HTTPFetcher(i.JWKS, auth.HTTPOptions{}); err != nil && len(bad.Fields) == 0 {
		bad.Add("jwks", "expected a URL as in https://idp.example/keys; plain http only on this machine")
	}
	return bad.Err()
}

// IssuerOf returns a tenant's own issuer, or the zero value. Errors:
// [tenant.ErrNotFound].
func (c *Catalog) IssuerOf(ctx context.Context, slug tenant.Slug) (i Issuer, err error) {
	err = c.db.View(ctx, func(tx sqldb.Conn) (err error) {
		i, err = issuerOf(ctx, tx, slug)
		return err
	})
	if err != nil {
		return Issuer{}, fmt.Errorf("reading the issuer of tenant %q: %w", slug, err)
	}
	return i, nil
}

func issuerOf(ctx context.Context, tx sqldb.Conn, slug tenant.Slug) (i Issuer, err error) {
	if _, err := getTenant(ctx, tx, slug); err != nil {
		return i, err
	}
	err = tx.QueryRowContext(ctx, `SELECT issuer, jwks FROM tenants WHERE slug = $1`, slug.String()).Scan(&i.Issuer, &i.JWKS)
	return i, err
}

// SetIssuer gives a tenant an issuer of its own, or takes it away with the
// zero value. Errors: [tenant.ErrNotFound], [*petstore.Invalid], [ErrTaken]
// when it is another tenant's.
func (c *Catalog) SetIssuer(ctx context.Context, slug tenant.Slug, i Issuer) error {
	if err := i.check(); err != nil {
		return err
	}
	err := c.change(ctx, func(tx sqldb.Conn, revision int64) error {
		before, err := issuerOf(ctx, tx, slug)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE tenants SET issuer = $2, jwks = $3, updated_at = $4, revision = $5 WHERE slug = $1`,
			slug.String(), i.Issuer, i.JWKS, c.now().UnixMicro(), revision)
		if errors.Is(sqldb.Classify(err), sqldb.ErrUnique) {
			return ErrTaken
		}
		if err != nil {
			return err
		}
		return c.record(ctx, tx, "tenant.issuer", slug, before, i)
	})
	if err != nil {
		return fmt.Errorf("setting the issuer of tenant %q: %w", slug, err)
	}
	return nil
}
