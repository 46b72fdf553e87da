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
	"unicode"
	"unicode/utf8"

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
	ID    string
	Slug  tenant.Slug
	Name  string
	Roles []string
	// Expires is zero for a key without end, Revoked for one that is not
	// revoked.
	Expires, Revoked time.Time
	CreatedAt        time.Time
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

// printable accepts a text for people that is safe in a log and a header's
// JSON.
func printable(s string, most int) bool {
	return s != "" && s == strings.TrimSpace(s) && utf8.RuneCountInString(s) <= most && isPrint(s)
}

func isPrint(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) })
}

// keyView is a key as events show it.
type keyView struct {
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	Roles   []string   `json:"roles,omitempty"`
	Expires *time.Time `json:"expires,omitempty"`
}

func (k Key) view() keyView {
	v := keyView{ID: k.ID, Name: k.Name, Roles: k.Roles}
	if !k.Expires.IsZero() {
		v.Expires = &k.Expires
	}
	return v
}

// CreateKey makes an API key for a tenant and returns its text, which is kept
// nowhere: only its hash is. Errors: [tenant.ErrNotFound], [ErrState] for a
// tenant that is not set up or not any more, [*petstore.Invalid].
func (c *Catalog) CreateKey(ctx context.Context, slug tenant.Slug, n NewKey) (k Key, text string, err error) {
	now := c.now().UTC()
	if err := n.check(now); err != nil {
		return Key{}, "", err
	}
	err = c.db.Update(ctx, func(tx sqldb.Conn) (err error) {
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
	k := Key{ID: petstore.NewID(now), Slug: slug, Name: n.Name, Roles: n.Roles, CreatedAt: now.Truncate(time.Microsecond)}
	if !n.Expires.IsZero() {
		k.Expires = n.Expires.UTC().Truncate(time.Microsecond)
	}
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
	_, err = tx.ExecContext(ctx, `INSERT INTO api_keys (id, hash, slug, name, roles, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		k.ID, hex.EncodeToString(hash[:]), slug.String(), k.Name, strings.Join(k.Roles, " "), now.UnixMicro(), micros(k.Expires))
	if err != nil {
		return Key{}, "", err
	}
	return k, text, c.record(ctx, tx, "key.create", slug, nil, k.view())
}

// Keys lists a tenant's API keys, the oldest first, revoked and expired ones
// too. Errors: [tenant.ErrNotFound].
func (c *Catalog) Keys(ctx context.Context, slug tenant.Slug) (keys []Key, err error) {
	err = c.db.View(ctx, func(tx sqldb.Conn) error {
		if _, err := getTenant(ctx, tx, slug); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT id, name, roles, created_at, expires_at, revoked_at FROM api_keys
			WHERE slug = $1 ORDER BY created_at, id`, slug.String())
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }() // Err reports what matters
		for rows.Next() {
			k := Key{Slug: slug}
			var roles string
			var created, expires, revoked int64
			if err := rows.Scan(&k.ID, &k.Name, &roles, &created, &expires, &revoked); err != nil {
				return err
			}
			k.Roles = strings.Fields(roles)
			k.CreatedAt, k.Expires, k.Revoked = instant(created), instant(expires), instant(revoked)
			keys = append(keys, k)
		}
		return rows.Err()
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
	err := c.db.Update(ctx, func(tx sqldb.Conn) error {
		k := Key{ID: id, Slug: slug}
		var roles string
		var expires, revoked int64
		err := tx.QueryRowContext(ctx, `SELECT name, roles, expires_at, revoked_at FROM api_keys WHERE id = $1 AND slug = $2`,
			id, slug.String()).Scan(&k.Name, &roles, &expires, &revoked)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return ErrNoCredential
		case err != nil || revoked != 0:
			return err
		}
		k.Roles, k.Expires = strings.Fields(roles), instant(expires)
		if _, err := tx.ExecContext(ctx, `UPDATE api_keys SET revoked_at = $3 WHERE id = $1 AND slug = $2`, id, slug.String(), now.UnixMicro()); err != nil {
			return err
		}
		return c.record(ctx, tx, "key.revoke", slug, k.view(), nil)
	})
	if err != nil {
		return fmt.Errorf("revoking an API key of tenant %q: %w", slug, err)
	}
	return nil
}
