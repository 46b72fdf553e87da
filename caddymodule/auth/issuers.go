package auth

import (
	"maps"
	"sync/atomic"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Issuers chooses the verifier for a tenant's requests. A tenant with an
// issuer of its own is served by that one alone: neither do the platform's
// tokens open it, nor do its issuer's tokens open another tenant. The choice
// is made by the tenant the request is for, never by what a token claims.
//
// It is safe for concurrent use.
type Issuers struct {
	platform *Verifier
	own      atomic.Pointer[map[tenant.Slug]*Verifier]
}

// NewIssuers returns a choice that knows the platform's verifier only; nil
// means that a tenant without an issuer of its own has none.
func NewIssuers(platform *Verifier) *Issuers { return &Issuers{platform: platform} }

// Set replaces the verifiers of tenants with an issuer of their own. A nil
// verifier closes the tenant, as is right when its issuer's configuration does
// not work.
func (i *Issuers) Set(own map[tenant.Slug]*Verifier) {
	own = maps.Clone(own)
	i.own.Store(&own)
}

// For returns the tenant's verifier, or nil when no token can open the tenant.
func (i *Issuers) For(slug tenant.Slug) *Verifier {
	if own := i.own.Load(); own != nil {
		if v, there := (*own)[slug]; there {
			return v
		}
	}
	return i.platform
}
