package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
)

// Caller is who asks, as the gateway's signed identity says, and how that
// tenant wants its pet store.
type Caller struct {
	identity.Claims
	Config petstore.Config
}

// TenantHandler is a handler for a verified tenant.
type TenantHandler func(w http.ResponseWriter, r *http.Request, c Caller) error

// ForTenant lets a request in that carries exactly one verified identity of a
// tenant that is active here. This is the only place where a request gets a
// tenant.
func (a *API) ForTenant(h TenantHandler) Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		values := r.Header.Values(identity.HeaderName)
		if len(values) != 1 {
			return identity.ErrUnverified
		}
		claims, err := a.Verifier.Verify(values[0], a.Now())
		if err != nil {
			return err
		}
		// The gateway vouches for the name. Whether that tenant is served is
		// checked again, since it may have been suspended a moment ago.
		config, err := a.Tenants.Config(r.Context(), claims.Tenant)
		if err != nil {
			return err
		}
		observed(r.Context()).tenant = claims.Tenant.String()
		return h(w, r, Caller{claims, config})
	}
}

// ForRoles is ForTenant for users who have one of the roles. The gateway has
// verified that the user is the tenant's; what the user may do is decided here.
func (a *API) ForRoles(h TenantHandler, roles ...string) Handler {
	return a.ForTenant(func(w http.ResponseWriter, r *http.Request, c Caller) error {
		switch {
		case slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(c.Roles, role) }):
			return h(w, r, c)
		case c.User == "" && len(c.Roles) == 0:
			w.Header().Set("WWW-Authenticate", "Bearer")
			return NewProblem(http.StatusUnauthorized, "a token of the tenant is required")
		}
		return NewProblem(http.StatusForbidden, "the role "+strings.Join(roles, " or ")+" is required")
	})
}
