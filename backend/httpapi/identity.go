package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// forTenant lets a request in that carries exactly one verified identity of a
// tenant that is active here. This is the only place where a request gets a
// tenant.
func (a *api) forTenant(h tenantHandler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		values := r.Header.Values(identity.HeaderName)
		if len(values) != 1 {
			return newProblem(http.StatusUnauthorized, "a verified tenant identity is required")
		}
		claims, err := a.Verifier.Verify(values[0], a.Now())
		if err != nil {
			return err
		}
		// The gateway vouches for the name. Whether that tenant is served is
		// checked again, since it may have been suspended a moment ago.
		t := a.Directory.Lookup(claims.Tenant)
		if t == nil || t.Status != tenant.Active {
			// The gateway may know of a new tenant a moment before this process
			// does. Only it can cause this look: the identity is verified.
			a.refresh(r)
			t = a.Directory.Lookup(claims.Tenant)
		}
		if t == nil || t.Status != tenant.Active {
			return tenant.ErrInactive
		}
		observed(r.Context()).tenant = claims.Tenant.String()
		return h(w, r, claims)
	}
}

// notForTenants hides the routes of operators and gateways from whoever comes
// through a tenant's site: the gateway adds the identity header there, and
// nothing else does. Any value counts, also one that would not verify.
func (a *api) notForTenants(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, present := r.Header[http.CanonicalHeaderKey(identity.HeaderName)]; present {
			return noSuchResource(w, r)
		}
		return h(w, r)
	}
}

// forAdmin lets a request in that carries the operator's credential.
func (a *api) forAdmin(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		values := r.Header.Values("Authorization")
		if len(values) != 1 || !sameToken(values[0], a.AdminToken) {
			return newProblem(http.StatusUnauthorized, "the operator's credential is required")
		}
		ctx := control.WithActor(r.Context(), control.Actor{Name: "operator", RequestID: w.Header().Get("X-Request-ID")})
		return h(w, r.WithContext(ctx))
	}
}

// sameToken compares in a time that depends on neither side. The scheme's name
// has no case (RFC 9110, section 11.1).
func sameToken(header, token string) bool {
	scheme, given, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return false
	}
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
