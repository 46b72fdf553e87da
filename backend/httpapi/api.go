// Package httpapi is the pet store over HTTP: routes, the check of the signed
// identity, and errors as problem+json (RFC 9457). It knows no SQL.
//
// It believes one thing about who asks: a Tenant-Identity header that
// [identity.Verifier] accepts. Every other header, parameter or field that
// names a tenant is ignored or refused.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Options are the parts behind the routes; all are required unless said
// otherwise.
type Options struct {
	Store     petstore.Store
	Catalog   *control.Catalog
	Directory *control.Directory
	Verifier  *identity.Verifier
	// AdminToken is the operator's credential.
	AdminToken string
	// Hosts asks DNS about tenants' own domains on request; nil leaves it to
	// the background.
	Hosts *control.HostChecker
	// CursorKey seals cursors: 32 bytes, the same for all replicas.
	CursorKey []byte
	// JWKS are the keys that verify this service's own user tokens; nil if it
	// issues none.
	JWKS []byte
	// SiteURL returns the address at which the gateway serves a tenant.
	SiteURL func(tenant.Slug) string
	// Ready says whether requests can be answered; nil means that the
	// catalog's answer decides.
	Ready func(context.Context) error
	Log   *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// api holds what the handlers share. It is safe for concurrent use.
type api struct {
	Options
	cursors cursors
	metrics *metrics
}

// New returns the handler of all routes.
func New(o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Ready == nil {
		o.Ready = o.Catalog.Ping
	}
	a := &api{Options: o, cursors: cursors{o.CursorKey}, metrics: newMetrics()}
	mux := http.NewServeMux()
	a.routes(mux)
	return a.observe(mux)
}

// handler is a handler that may fail; the error becomes a problem.
type handler func(w http.ResponseWriter, r *http.Request) error

// tenantHandler is a handler for a verified tenant.
type tenantHandler func(w http.ResponseWriter, r *http.Request, c identity.Claims) error

func (a *api) routes(mux *http.ServeMux) {
	byPath := map[string]map[string]handler{
		"/api/pets":      {"GET": a.forTenant(a.listPets), "POST": a.forEditor(a.createPet)},
		"/api/pets/{id}": {"GET": a.forTenant(a.getPet), "PUT": a.forEditor(a.replacePet), "PATCH": a.forEditor(a.patchPet), "DELETE": a.forEditor(a.deletePet)},

		"/api/config":       {"GET": a.forTenantAdmin(a.listConfig)},
		"/api/config/{key}": {"GET": a.forTenantAdmin(a.getConfig), "PUT": a.forTenantAdmin(a.putConfig), "DELETE": a.forTenantAdmin(a.deleteConfig)},
		"/api/token":        {"POST": a.forTenant(a.redeemToken)},

		"/api/admin/tenants/{slug}/purge":  {"POST": a.forAdmin(a.purgeTenant)},
		"/api/admin/tenants/{slug}/move":   {"POST": a.forAdmin(a.moveTenant)},
		"/api/admin/tenants/{slug}/export": {"GET": a.forAdmin(a.exportTenant)},
		"/api/admin/tenants/{slug}/events": {"GET": a.forAdmin(a.listEvents)},

		"/api/admin/tenants":        {"GET": a.forAdmin(a.listTenants), "POST": a.forAdmin(a.createTenant)},
		"/api/admin/tenants/{slug}": {"GET": a.forAdmin(a.getTenant), "PATCH": a.forAdmin(a.patchTenant)},

		"/api/admin/tenants/{slug}/keys":      {"GET": a.forAdmin(a.listKeys), "POST": a.forAdmin(a.createKey)},
		"/api/admin/tenants/{slug}/keys/{id}": {"DELETE": a.forAdmin(a.revokeKey)},
		"/api/admin/tenants/{slug}/issuer":    {"GET": a.forAdmin(a.getIssuer), "PUT": a.forAdmin(a.putIssuer), "DELETE": a.forAdmin(a.deleteIssuer)},
		"/api/admin/revocations":              {"GET": a.forAdmin(a.listRevocations), "POST": a.forAdmin(a.createRevocation)},
		"/api/admin/revocations/{id}":         {"DELETE": a.forAdmin(a.deleteRevocation)},

		"/api/admin/audit": {"GET": a.forAdmin(a.listAccess)},
		auditRoute:         {"POST": a.takeAccess},

		"/.well-known/jwks.json": {"GET": a.serveJWKS},

		"/healthz": {"GET": a.healthz},
		"/readyz":  {"GET": a.readyz},
		"/metrics": {"GET": a.serveMetrics},
	}
	a.hostRoutes(byPath)
	for path, methods := range byPath {
		guard := func(h handler) handler { return h }
		if strings.HasPrefix(path, "/api/admin/") || path == auditRoute || path == "/metrics" {
			guard = a.notForTenants
		}
		allowed := allow(methods)
		for method, h := range methods {
			mux.Handle(method+" "+path, a.serve(path, guard(h)))
		}
		mux.Handle(path, a.serve(path, guard(func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Allow", allowed)
			return newProblem(http.StatusMethodNotAllowed, "expected one of "+allowed)
		})))
	}
	mux.Handle("/api/admin/", a.serve("/api/admin/", a.notForTenants(noSuchResource)))
	mux.Handle("/", a.serve("/", noSuchResource))
}

func noSuchResource(http.ResponseWriter, *http.Request) error {
	return newProblem(http.StatusNotFound, "no such resource")
}

func allow(methods map[string]handler) string {
	var names []string
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		if methods[m] != nil || m == "HEAD" && methods["GET"] != nil {
			names = append(names, m)
		}
	}
	return strings.Join(names, ", ")
}

// serve turns a handler into the standard library's, notes the route for log
// and metrics, and sends the error.
func (a *api) serve(route string, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := observed(r.Context())
		seen.route = route
		if err := h(w, r); err != nil {
			p := problemOf(err)
			seen.err = p
			writeProblem(w, p)
		}
	})
}

func (a *api) healthz(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	return nil
}

func (a *api) serveJWKS(w http.ResponseWriter, _ *http.Request) error {
	if a.JWKS == nil {
		return noSuchResource(w, nil)
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "max-age=60")
	_, _ = w.Write(a.JWKS)
	return nil
}

func (a *api) readyz(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := a.Ready(ctx); err != nil {
		p := newProblem(http.StatusServiceUnavailable, "not ready")
		p.cause = err
		return p
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
	return nil
}
