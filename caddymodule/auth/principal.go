package auth

import (
	"slices"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Principal is a caller whose credential was verified. Its slices are shared
// between requests and must not be changed. The zero value is nobody.
type Principal struct {
	// Subject names the caller: printable, at most 255 bytes, may be empty.
	Subject string
	// Issuer is who vouches for the caller; empty for API keys.
	Issuer string
	// Tenants are those the caller belongs to, without repeats.
	Tenants []tenant.Slug
	// Roles are words of letters, digits and "_.:/-", without repeats, which
	// fit into a signed identity together.
	Roles []string
	// IssuedAt and NotBefore are zero when the credential does not say.
	IssuedAt, NotBefore time.Time
	// Expires is when the credential ends; zero for an API key without end.
	Expires time.Time
	// TokenID is the token's jti or the API key's record id; may be empty.
	TokenID string
	// Ignored names the optional claims of which nothing, or not all, could be
	// used, for a log at debug level.
	Ignored []string
}

// BelongsTo reports whether the caller is of that tenant. Nobody belongs to
// the zero slug.
func (p *Principal) BelongsTo(slug tenant.Slug) bool {
	return !slug.IsZero() && slices.Contains(p.Tenants, slug)
}

// DenyList names credentials that were revoked before their time. It is asked
// at every request, does no I/O and is safe for concurrent use.
type DenyList interface {
	Denied(*Principal) bool
}

// admit makes the checks whose answer changes with time.
func (v *Verifier) admit(p *Principal, now time.Time) error {
	leeway := v.o.Leeway
	life := p.Expires.Sub(p.IssuedAt)
	if p.IssuedAt.IsZero() { // what is left of it, by a clock that may be ahead
		life = p.Expires.Sub(now) - leeway
	}
	switch {
	case !now.Before(p.Expires.Add(leeway)):
		return bad(reasonExpired, "it ended before now")
	case p.NotBefore.After(now.Add(leeway)):
		return bad(reasonEarly, "nbf is in the future")
	case p.IssuedAt.After(now.Add(leeway)):
		return bad(reasonEarly, "iat is in the future")
	case v.o.MaxLifetime > 0 && life > v.o.MaxLifetime:
		return bad(reasonLifetime, "it lives longer than %v", v.o.MaxLifetime)
	case v.o.Denied != nil && v.o.Denied.Denied(p):
		return bad(reasonRevoked, "the token or its subject is on the deny list")
	}
	return nil
}
