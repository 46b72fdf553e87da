package auth

import (
	"slices"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Kind is the sort of credential a principal came with.
type Kind uint8

// The kinds of credentials. The zero value is none.
const (
	Token  Kind = iota + 1 // a bearer JWT
	APIKey                 // a key of the platform, tk_...
)

// String returns "jwt", "api_key" or "none".
func (k Kind) String() string {
	switch k {
	case Token:
		return "jwt"
	case APIKey:
		return "api_key"
	}
	return "none"
}

// Principal is a caller whose credential was verified. Its slices are shared
// between requests and must not be changed. The zero value is nobody.
type Principal struct {
	// Kind is the sort of credential.
	Kind Kind
	// Subject names the caller: printable, at most 255 bytes, may be empty.
	Subject string
	// Issuer is who vouches for the caller; empty for API keys.
	Issuer string
	// Tenants are those the caller belongs to, without repeats.
	Tenants []tenant.Slug
	// Roles are words of letters, digits and "_.:/-", without repeats.
	Roles []string
	// IssuedAt is zero when the credential does not say.
	IssuedAt time.Time
	// NotBefore is zero when the credential does not say.
	NotBefore time.Time
	// Expires is when the credential ends; zero for an API key without end.
	Expires time.Time
	// TokenID is the token's jti or the API key's record id; may be empty.
	TokenID string
	// KeyID is the id of the key that verified the token; may be empty.
	KeyID string
}

// BelongsTo reports whether the caller is of that tenant. Nobody belongs to
// the zero slug.
func (p *Principal) BelongsTo(slug tenant.Slug) bool {
	return !slug.IsZero() && slices.Contains(p.Tenants, slug)
}

// HasRole reports whether the caller has the role, compared exactly.
func (p *Principal) HasRole(role string) bool { return slices.Contains(p.Roles, role) }

// inTime checks the times of a principal; leeway is how far the clocks may be
// apart.
func (p *Principal) inTime(now time.Time, leeway time.Duration) error {
	switch {
	case !p.Expires.IsZero() && !now.Before(p.Expires.Add(leeway)):
		return bad(reasonExpired, "it ended before now")
	case p.NotBefore.After(now.Add(leeway)):
		return bad(reasonEarly, "nbf is in the future")
	case p.IssuedAt.After(now.Add(leeway)):
		return bad(reasonEarly, "iat is in the future")
	}
	return nil
}
