// Package httpapi is the pet store over HTTP: routes, the check of the signed
// identity, and errors as problem+json (RFC 9457). It knows no SQL and no
// control plane: package controlapi adds that one's routes to an [API].
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

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Tenants says which tenants are served here, and how.
type Tenants interface {
	// Config returns an active tenant's configuration. Any other tenant is
	// [tenant.ErrInactive], whether it exists or not.
	Config(ctx context.Context, t tenant.Slug) (petstore.Config, error)
}

// Options are the parts behind the routes; all are required unless said
// otherwise.
type Options struct {
	Store    petstore.Store
	Tenants  Tenants
	Verifier *identity.Verifier
	// CursorKey seals cursors: a secret, the same for all replicas.
	CursorKey []byte
	// JWKS are the keys that verify this service's own user tokens; nil if it
	// issues none.
	JWKS []byte
	// Ready says whether requests can be answered.
	Ready func(context.Context) error
	Log   *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// API is the handler of all routes. It is safe for concurrent use once all
// routes are added.
type API struct {
	Options
	cursors cursors
	metrics *metrics
	mux     *http.ServeMux
	handler http.Handler
	answers []Answer
}

// New returns an API with the routes of the pet store.
func New(o Options) *API {
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &API{Options: o, cursors: cursors{o.CursorKey}, metrics: newMetrics(), mux: http.NewServeMux(), answers: answers()}
	a.handler = a.observe(a.mux)
	editor := func(h TenantHandler) Handler { return a.ForRoles(h, petstore.RoleEditor, petstore.RoleAdmin) }
	a.Handle("/api/pets", Methods{"GET": a.ForTenant(a.listPets), "POST": editor(a.createPet)})
	a.Handle("/api/pets/{id}", Methods{"GET": a.ForTenant(a.getPet), "PUT": editor(a.replacePet), "PATCH": editor(a.patchPet), "DELETE": editor(a.deletePet)})
	a.Handle("/.well-known/jwks.json", Methods{"GET": a.serveJWKS})
	a.Handle("/healthz", Methods{"GET": a.healthz})
	a.Handle("/readyz", Methods{"GET": a.readyz})
	// Metrics are for the operator's network.
	a.HandleHidden("/metrics", Methods{"GET": func(w http.ResponseWriter, r *http.Request) error { a.metrics.handler.ServeHTTP(w, r); return nil }})
	a.mux.Handle("/", a.serve("/", noSuchResource))
	return a
}

// ServeHTTP implements [http.Handler].
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Handler is a handler that may fail; the error becomes a problem.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Methods are the handlers of one path.
type Methods map[string]Handler

// Handle adds a path.
func (a *API) Handle(path string, methods Methods) {
	a.handle(path, methods, func(h Handler) Handler { return h })
}

// HandleHidden adds a path for operators and gateways. It does not exist for
// whoever comes through a tenant's site: the gateway adds the identity header
// there, and nothing else does. Any value counts, also one that would not
// verify. A path without methods has nothing behind it for anybody.
func (a *API) HandleHidden(path string, methods Methods) {
	a.handle(path, methods, func(h Handler) Handler {
		return func(w http.ResponseWriter, r *http.Request) error {
			if _, present := r.Header[http.CanonicalHeaderKey(identity.HeaderName)]; present {
				return noSuchResource(w, r)
			}
			return h(w, r)
		}
	})
}

func (a *API) handle(path string, methods Methods, guard func(Handler) Handler) {
	var allowed []string
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		if h := methods[m]; h != nil {
			a.mux.Handle(m+" "+path, a.serve(path, guard(h)))
			allowed = append(allowed, m)
		} else if m == "HEAD" && methods["GET"] != nil {
			allowed = append(allowed, m) // the multiplexer's doing
		}
	}
	a.mux.Handle(path, a.serve(path, guard(func(w http.ResponseWriter, r *http.Request) error {
		if len(methods) == 0 {
			return noSuchResource(w, r)
		}
		list := strings.Join(allowed, ", ")
		w.Header().Set("Allow", list)
		return NewProblem(http.StatusMethodNotAllowed, "expected one of "+list)
	})))
}

func noSuchResource(http.ResponseWriter, *http.Request) error {
	return NewProblem(http.StatusNotFound, "no such resource")
}

// serve turns a handler into the standard library's, notes the route for log
// and metrics, and sends the error.
func (a *API) serve(route string, h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := observed(r.Context())
		seen.route = route
		if err := h(w, r); err != nil {
			p := problemOf(err, a.answers)
			seen.err = p
			writeProblem(w, p)
		}
	})
}

func (a *API) healthz(w http.ResponseWriter, _ *http.Request) error {
	return WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (a *API) serveJWKS(w http.ResponseWriter, _ *http.Request) error {
	if a.JWKS == nil {
		return noSuchResource(w, nil)
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "max-age=60")
	_, _ = w.Write(a.JWKS)
	return nil
}

func (a *API) readyz(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := a.Ready(ctx); err != nil {
		return NewProblem(http.StatusServiceUnavailable, "not ready").Because(err)
	}
	return WriteJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}
