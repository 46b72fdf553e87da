package control

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// ErrToken means that a token is unknown, expired, used up, or another
// tenant's: nobody is told which.
var ErrToken = errors.New("token not accepted")

// Lives of tokens.
const (
	setupLife    = 7 * 24 * time.Hour
	adminKeyLife = 90 * 24 * time.Hour
)

func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// setupToken derives a tenant's one-time token from the tenant's id and a
// secret of the installation: a repeated creation can answer with the same
// token although only its hash is kept.
func (c *Catalog) setupToken(ctx context.Context, id string) (string, error) {
	key, err := c.fact(ctx, "token_key", func() string { return rand.Text() + rand.Text() })
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte("setup " + id))
	return "setup_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(mac.Sum(nil)[:20])), nil
}

// createAdmin adds the tenant's first user and the hash of its one-time token.
func (c *Catalog) createAdmin(ctx context.Context, o onboarding) error {
	token, err := c.setupToken(ctx, o.ID)
	if err != nil {
		return err
	}
	now := c.now()
	return c.write(ctx, func(tx sqldb.Conn) error {
		err := sqldb.Exec(ctx, tx, `INSERT INTO tenant_users (id, slug, email, role, created_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT DO NOTHING`, "usr_"+strings.TrimPrefix(o.ID, "tnt_"), o.Slug.String(), o.adminEmail, petstore.RoleAdmin, now.UnixMicro())
		if err != nil {
			return err
		}
		return sqldb.Exec(ctx, tx, `INSERT INTO tenant_tokens (hash, slug, user_id, kind, created_at, expires_at) VALUES ($1, $2, $3, 'setup', $4, $5)
			ON CONFLICT DO NOTHING`, hashToken(token), o.Slug.String(), "usr_"+strings.TrimPrefix(o.ID, "tnt_"), now.UnixMicro(), now.Add(setupLife).UnixMicro())
	})
}

// Redeem exchanges a tenant's one-time token for an API key of its
// administrator, which is good until it expires or is revoked, and whose text
// is kept nowhere. The one-time token is used up, also when two requests bring
// it at once: one of them gets [ErrToken].
func (c *Catalog) Redeem(ctx context.Context, slug tenant.Slug, setup string) (k Key, text string, err error) {
	now := c.now().UTC()
	err = c.write(ctx, func(tx sqldb.Conn) error {
		var user, email, role string
		err := tx.QueryRowContext(ctx, `UPDATE tenant_tokens SET used_at = $3
			WHERE hash = $1 AND slug = $2 AND kind = 'setup' AND used_at = 0 AND expires_at > $3 RETURNING user_id`,
			hashToken(setup), slug.String(), now.UnixMicro()).Scan(&user)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrToken
		}
		if err != nil {
			return err
		}
		err = tx.QueryRowContext(ctx, `SELECT email, role FROM tenant_users WHERE id = $1 AND slug = $2`, user, slug.String()).Scan(&email, &role)
		if err != nil {
			return err
		}
		if err := c.record(ctx, tx, "token.redeem", slug, nil, map[string]string{"user": user}); err != nil {
			return err
		}
		k, text, err = c.insertKey(ctx, tx, slug, NewKey{Name: keyName(email), Roles: []string{role}, Expires: now.Add(adminKeyLife)}, now)
		return err
	})
	if err != nil {
		return Key{}, "", fmt.Errorf("redeeming a one-time token: %w", err)
	}
	return k, text, nil
}

// keyName is what an administrator's first key is called: their address, where
// that fits.
func keyName(email string) string {
	if printable(email, maxKeyName) {
		return email
	}
	return "administrator"
}
