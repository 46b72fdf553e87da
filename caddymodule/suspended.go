package caddymodule

import (
	"errors"
	"net/http"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// memberOfSuspended reports whether a refused request is for a suspended
// tenant and carries a valid token of that very tenant. Only then may the
// caller know that the tenant exists.
//
// A token is verified on every refusal that carries one, whatever the cause:
// the time that takes must not tell a suspended tenant from an unknown one.
func (a *App) memberOfSuspended(r *http.Request, claims []resolve.Claim, cause error) bool {
	if len(a.issuers) == 0 && !a.takesKeys {
		return false
	}
	token, err := a.credential(r)
	if err != nil {
		return false
	}
	var suspended *tenant.Tenant
	if errors.Is(cause, tenant.ErrInactive) {
		for _, c := range claims {
			if c.Tenant != nil && c.Tenant.Status == tenant.Suspended {
				suspended = c.Tenant
			}
		}
	}
	now, member := time.Now(), false
	credentials, err := a.currentCredentials()
	if err != nil {
		return false
	}
	if a.takesKeys && auth.IsAPIKey(token) {
		user, err := apiKey(credentials, token, now)
		return err == nil && suspended != nil && user.BelongsTo(suspended.Slug)
	}
	for _, v := range a.verifiers {
		user, err := v.Verify(r.Context(), token, now)
		if err == nil && suspended != nil && suspended.Issuer == "" && user.BelongsTo(suspended.Slug) {
			member = true
		}
	}
	for _, i := range a.issuers {
		if i.Member(suspended, token, now) { //nolint:contextcheck // a fetch that it begins is for later requests
			member = true
		}
	}
	return member
}

// credential reads a token, or an API key where one is accepted.
func (a *App) credential(r *http.Request) (string, error) {
	if a.takesKeys {
		return auth.Credential(r.Header, r.URL.RawQuery)
	}
	return auth.BearerToken(r.Header, r.URL.RawQuery)
}
