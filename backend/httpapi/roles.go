package httpapi

import (
	"net/http"
	"slices"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
)

// Roles that the gateway's signed identity may carry. Reading pets needs none:
// a tenant's site is a shop window.
const (
	roleEditor = "editor"          // may change pets
	roleAdmin  = control.RoleAdmin // may change pets and the tenant's configuration
)

// forEditor lets a request in whose user may change the tenant's pets. The
// gateway has verified that the user is the tenant's; what the user may do is
// decided here.
func (a *api) forEditor(h tenantHandler) handler {
	return a.forTenant(func(w http.ResponseWriter, r *http.Request, c identity.Claims) error {
		switch {
		case slices.Contains(c.Roles, roleEditor) || slices.Contains(c.Roles, roleAdmin):
			return h(w, r, c)
		case c.User == "" && len(c.Roles) == 0:
			w.Header().Set("WWW-Authenticate", "Bearer")
			return newProblem(http.StatusUnauthorized, "a token of the tenant is required to change its pets")
		}
		return newProblem(http.StatusForbidden, "the role "+roleEditor+" or "+roleAdmin+" is required to change pets")
	})
}
