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
	if len(a.verifiers) == 0 {
		return false
	}
	token, err := auth.BearerToken(r.Header, r.URL.RawQuery)
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
	for _, v := range a.verifiers {
		user, err := v.Verify(r.Context(), token, now)
		if err == nil && suspended != nil && user.BelongsTo(suspended.Slug) {
			member = true
		}
	}
	return member
}
