package control

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// ErrNoCredential means that there is no API key or no revocation of that id.
var ErrNoCredential = errors.New("no such credential")

// Bounds of an API key's record, and of how many a tenant may have at once.
const (
	maxKeys     = 100
	maxKeyName  = 64 // characters
	maxKeyRoles = 16
)

// Key is an API key as the catalog knows it: without the key.
type Key struct {
	ID        string      `json:"id"`
	Slug      tenant.Slug `json:"-"`
	Name      string      `json:"name"`
	Roles     []string    `json:"roles"`
	CreatedAt time.Time   `json:"created_at"`
	// Expires is zero for a key without end, Revoked for one that is not
	// revoked.
	Expires time.Time `json:"expires,omitzero"`
	Revoked time.Time `json:"revoked_at,omitzero"`
}

// NewKey is what an operator says about a new API key.
type NewKey struct {
	// Name says who uses the key.
	Name  string
	Roles []string
	// Expires is when it ends; zero is never.
	Expires time.Time
}

func (n *NewKey) check(now time.Time) error {
	var bad petstore.Invalid
	if !printable(n.Name, maxKeyName) {
		bad.Add("name", "expected 1 to %d printable characters without spaces around them", maxKeyName)
	}
	if len(n.Roles) > maxKeyRoles {
		bad.Add("roles", "expected at most %d roles", maxKeyRoles)
	}
	for i, role := range n.Roles {
		switch {
		case !auth.IsRole(role):
			bad.Add(fmt.Sprintf("roles[%d]", i), "expected 1 to 64 letters, digits and _.:/-")
		case slices.Contains(n.Roles[:i], role):
			bad.Add(fmt.Sprintf("roles[%d]", i), "the role is there already")
		}
	}
	if !n.Expires.IsZero() && !n.Expires.After(now) {
		bad.Add("expires", "expected a time in the future")
	}
	return bad.Err()
}

// CreateKey makes an API key for a tenant and returns its text, which is kept
// nowhere: only its hash is. Errors: [tenant.ErrNotFound], [ErrState] for a
// tenant that is not set up or not any more, [*petstore.Invalid].
func (c *Catalog) CreateKey(ctx context.Context, slug tenant.Slug, n NewKey) (k Key, text string, err error) {
	now := c.now().UTC()
	if err := n.check(now); err != nil {
		return Key{}, "", err
	}
	err = c.write(ctx, func(tx sqldb.Conn) (err error) {
		k, text, err = c.insertKey(ctx, tx, slug, n, now)
		return err
	})
	if err != nil {
		return Key{}, "", fmt.Errorf("creating an API key for tenant %q: %w", slug, err)
	}
	return k, text, nil
}

// insertKey is CreateKey within a transaction, for a key that was checked.
func (c *Catalog) insertKey(ctx context.Context, tx sqldb.Conn, slug tenant.Slug, n NewKey, now time.Time) (Key, string, error) {
	text, hash := auth.NewAPIKey()
	k := Key{ID: petstore.NewID(now), Slug: slug, Name: n.Name, Roles: append([]string{}, n.Roles...),
		CreatedAt: now.Truncate(time.Microsecond), Expires: sqldb.Time(sqldb.Micros(n.Expires))}
	t, err := getTenant(ctx, tx, slug)
	if err != nil {
		return Key{}, "", err
	}
	if t.Status != tenant.Active && t.Status != tenant.Suspended {
		return Key{}, "", ErrState
	}
	var live int
	err = tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM api_keys WHERE slug = $1 AND revoked_at = 0 AND (expires_at = 0 OR expires_at > $2)`,
		slug.String(), now.UnixMicro()).Scan(&live)
	if err != nil {
		return Key{}, "", err
	}
	if live >= maxKeys {
		var bad petstore.Invalid
		bad.Add("name", "the tenant has %d keys, which is the most there may be; revoke one first", live)
		return Key{}, "", bad.Err()
	}
	err = sqldb.Exec(ctx, tx, `INSERT INTO api_keys (id, hash, slug, name, roles, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		k.ID, hex.EncodeToString(hash[:]), slug.String(), k.Name, strings.Join(k.Roles, " "), now.UnixMicro(), sqldb.Micros(k.Expires))
	if err != nil {
		return Key{}, "", err
	}
	return k, text, c.record(ctx, tx, "key.create", slug, nil, k)
}

// Keys lists a tenant's API keys, the oldest first, revoked and expired ones
// too. Errors: [tenant.ErrNotFound].
func (c *Catalog) Keys(ctx context.Context, slug tenant.Slug) (keys []Key, err error) {
	err = c.db.View(ctx, func(tx sqldb.Conn) (err error) {
		if _, err = getTenant(ctx, tx, slug); err != nil {
			return err
		}
		keys, err = sqldb.All(ctx, tx, scanKey(slug), `SELECT `+keyColumns+` FROM api_keys WHERE slug = $1 ORDER BY created_at, id`, slug.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the API keys of tenant %q: %w", slug, err)
	}
	return keys, nil
}

// RevokeKey ends a key; a second time changes nothing. Errors:
// [ErrNoCredential], also for another tenant's key.
func (c *Catalog) RevokeKey(ctx context.Context, slug tenant.Slug, id string) error {
	if !petstore.ValidID(id) {
		return ErrNoCredential
	}
	now := c.now().UTC()
	err := c.write(ctx, func(tx sqldb.Conn) error {
		k, err := scanKey(slug)(tx.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM api_keys WHERE id = $1 AND slug = $2`, id, slug.String()).Scan)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return ErrNoCredential
		case err != nil || !k.Revoked.IsZero():
			return err
		}
		if err := sqldb.Exec(ctx, tx, `UPDATE api_keys SET revoked_at = $3 WHERE id = $1 AND slug = $2`, id, slug.String(), now.UnixMicro()); err != nil {
			return err
		}
		return c.record(ctx, tx, "key.revoke", slug, k, nil)
	})
	if err != nil {
		return fmt.Errorf("revoking an API key of tenant %q: %w", slug, err)
	}
	return nil
}

const keyColumns = `id, name, roles, created_at, expires_at, revoked_at`

func scanKey(slug tenant.Slug) func(sqldb.Scan) (Key, error) {
	return func(scan sqldb.Scan) (Key, error) {
		k := Key{Slug: slug}
		var roles string
		var created, expires, revoked int64
		err := scan(&k.ID, &k.Name, &roles, &created, &expires, &revoked)
		k.Roles = append([]string{}, strings.Fields(roles)...)
		k.CreatedAt, k.Expires, k.Revoked = sqldb.Time(created), sqldb.Time(expires), sqldb.Time(revoked)
		return k, err
	}
}

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

func (i Issuer) check(bad *petstore.Invalid) {
	if i == (Issuer{}) {
		return
	}
	good := true
	for _, f := range []struct{ field, value string }{{"issuer", i.Issuer}, {"jwks", i.JWKS}} {
		if f.value == "" || len(f.value) > maxIssuer || strings.ContainsFunc(f.value, func(c rune) bool { return c <= ' ' || c > '~' }) {
			bad.Add(f.field, "expected 1 to %d visible ASCII characters", maxIssuer)
			good = false
		}
	}
	if _, err := auth.HTTPFetcher(i.JWKS, auth.HTTPOptions{}); good && err != nil {
		bad.Add("jwks", "expected a URL as in https://idp.example/keys; plain http only on this machine")
	}
}

// IssuerOf is the tenant's own issuer, or the zero value.
func IssuerOf(t Tenant) Issuer { return Issuer{t.Issuer, t.JWKS} }
