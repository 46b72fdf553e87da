// Package issuer makes bearer tokens for the pet store's users. It stands in
// for the identity provider that a real deployment has: it knows no passwords,
// and whoever can run the program can have a token.
package issuer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Name is the "iss" of every token.
const Name = "petstore"

// Audience is the "aud" of every token.
const Audience = "petstore-api"

// MaxTTL is the longest life of a token.
const MaxTTL = 24 * time.Hour

// Issuer signs tokens with a key of its own, kept in the data folder. It is
// immutable.
type Issuer struct{ keys *identity.Keys }

// Open reads the key in the folder, and makes it with mode 0600 if there is
// none.
func Open(dir string) (*Issuer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the token issuer: %w", err)
	}
	keys, err := identity.LoadOrCreateKeys(filepath.Join(dir, "issuer.key"))
	if err != nil {
		return nil, fmt.Errorf("opening the token issuer: %w", err)
	}
	return &Issuer{keys}, nil
}

// JWKS is the JWK set with which others verify the tokens.
func (i *Issuer) JWKS() []byte { return i.keys.JWKS() }

// Grant is what a token says.
type Grant struct {
	Tenant tenant.Slug
	User   string   // who; not empty
	Roles  []string // any of the pet store's
	TTL    time.Duration
}

// claims are the token's members (RFC 7519).
type claims struct {
	Issuer   string   `json:"iss"`
	Audience string   `json:"aud"`
	Subject  string   `json:"sub"`
	Tenant   string   `json:"tenant"`
	Roles    []string `json:"roles,omitempty"`
	ID       string   `json:"jti"`
	IssuedAt int64    `json:"iat"`
	Expires  int64    `json:"exp"`
}

// Mint returns a token for the grant, issued at now. id names the token for
// revocation.
func (i *Issuer) Mint(g Grant, id string, now time.Time) (string, error) {
	switch {
	case g.Tenant.IsZero():
		return "", errors.New("making a token: no tenant")
	case g.User == "":
		return "", errors.New("making a token: no user")
	case g.TTL <= 0 || g.TTL > MaxTTL:
		return "", fmt.Errorf("making a token: life %v; expected more than 0 and at most %v", g.TTL, MaxTTL)
	}
	for _, role := range g.Roles {
		if role != petstore.RoleEditor && role != petstore.RoleAdmin {
			return "", fmt.Errorf("making a token: unknown role %q; expected %s or %s", role, petstore.RoleEditor, petstore.RoleAdmin)
		}
	}
	return i.keys.SignJWT("at+jwt", claims{
		Issuer: Name, Audience: Audience, Subject: g.User, Tenant: g.Tenant.String(), Roles: g.Roles, ID: id,
		IssuedAt: now.Unix(), Expires: now.Add(g.TTL).Unix(),
	})
}
