// Package controlapi is the control plane over HTTP: the operator's routes, what
// gateways deliver, and what a tenant's administrators do themselves. It adds
// them to the pet store's [httpapi.API].
package controlapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/httpapi"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Options are the parts behind the routes; all are required.
type Options struct {
	Catalog   *control.Catalog
	Directory *control.Directory
	// Hosts asks DNS about tenants' own domains on request.
	Hosts *control.HostChecker
	// AdminToken is the operator's credential.
	AdminToken string
	// SiteURL returns the address at which the gateway serves a tenant.
	SiteURL func(tenant.Slug) string
}

// api holds what the handlers share. It is safe for concurrent use.
type api struct {
	*httpapi.API
	Options
}

// short forms of what every handler uses.
type (
	handler = httpapi.Handler
	methods = httpapi.Methods
	fields  = map[string]httpapi.Field
)

// Add adds the routes.
func Add(to *httpapi.API, o Options) {
	a := &api{to, o}
	to.AddAnswers(answers())
	const one = "/api/admin/tenants/{slug}"
	for path, m := range map[string]methods{
		"/api/admin/": {},

		"/api/admin/tenants": {"GET": a.operator(a.listTenants), "POST": a.operator(a.createTenant)},
		one:                  {"GET": a.onTenant(a.getTenant), "PATCH": a.onTenant(a.patchTenant)},
		one + "/purge":       {"POST": a.onTenant(a.purgeTenant)},
		one + "/move":        {"POST": a.onTenant(a.moveTenant)},
		one + "/export":      {"GET": a.onTenant(a.exportTenant)},
		one + "/events":      {"GET": a.onTenant(a.listEvents)},

		one + "/keys":                 {"GET": a.onTenant(a.listKeys), "POST": a.onTenant(a.createKey)},
		one + "/keys/{id}":            {"DELETE": a.onTenant(a.revokeKey)},
		one + "/issuer":               {"GET": a.onTenant(a.getIssuer), "PUT": a.onTenant(a.putIssuer), "DELETE": a.onTenant(a.deleteIssuer)},
		"/api/admin/revocations":      {"GET": a.operator(a.listRevocations), "POST": a.operator(a.createRevocation)},
		"/api/admin/revocations/{id}": {"DELETE": a.operator(a.deleteRevocation)},
		one + "/hosts":                {"GET": a.onTenant(a.listHosts), "POST": a.onTenant(a.claimHost(false))},
		one + "/hosts/{host}":         {"DELETE": a.onTenant(a.releaseHost)},
		one + "/hosts/{host}/check":   {"POST": a.onTenant(a.checkHost)},

		"/api/admin/audit": {"GET": a.operator(a.listAccess)},
		"/internal/audit":  {"POST": a.takeAccess},
	} {
		to.HandleHidden(path, m)
	}
	to.Handle("/api/config", methods{"GET": a.member(a.listConfig)})
	to.Handle("/api/config/{key}", methods{"GET": a.member(a.getConfig), "PUT": a.member(a.putConfig), "DELETE": a.member(a.deleteConfig)})
	to.Handle("/api/token", methods{"POST": to.ForTenant(a.redeemToken)})
	to.Handle("/api/hosts", methods{"GET": a.own(a.listHosts), "POST": a.own(a.claimHost(true))})
	to.Handle("/api/hosts/{host}", methods{"DELETE": a.own(a.releaseHost)})
}

func answers() []httpapi.Answer {
	return []httpapi.Answer{
		{Err: control.ErrNoHost, Status: http.StatusNotFound, Detail: "no such host"},
		{Err: control.ErrTaken, Status: http.StatusConflict, Detail: "the name, or one that looks like it, is taken"},
		{Err: control.ErrKeyReused, Status: http.StatusUnprocessableEntity, Detail: "the idempotency key was used for another request"},
		{Err: control.ErrBusy, Status: http.StatusConflict, Detail: "the tenant is being worked on; try again in a moment", RetryAfter: 2},
		{Err: control.ErrNoCredential, Status: http.StatusNotFound, Detail: "no such key or revocation"},
		{Err: control.ErrNoKey, Status: http.StatusNotFound, Detail: "no such configuration key"},
		{Err: control.ErrToken, Status: http.StatusForbidden, Detail: "the token is not accepted"},
		{Err: control.ErrDiffers, Status: http.StatusInternalServerError, Detail: "the copy differs from the original; nothing was changed"},
		{Err: control.ErrState, Status: http.StatusConflict, Detail: "the tenant's present state does not allow that"},
	}
}

// tenantHandler is a handler for one tenant.
type tenantHandler func(w http.ResponseWriter, r *http.Request, slug tenant.Slug) error

// operator lets a request in that carries the operator's credential.
func (a *api) operator(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		values := r.Header.Values("Authorization")
		if len(values) != 1 || !sameToken(values[0], a.AdminToken) {
			return httpapi.NewProblem(http.StatusUnauthorized, "the operator's credential is required")
		}
		return h(w, r.WithContext(control.WithActor(r.Context(), control.Actor{Name: "operator", RequestID: w.Header().Get("X-Request-ID")})))
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

// onTenant is operator for the tenant in the path. A slug that breaks the
// grammar names no tenant.
func (a *api) onTenant(h tenantHandler) handler {
	return a.operator(func(w http.ResponseWriter, r *http.Request) error {
		slug, err := tenant.ParseSlug(r.PathValue("slug"))
		if err != nil {
			return tenant.ErrNotFound
		}
		return h(w, r, slug)
	})
}

// member lets a request in whose identity has the role of an administrator of
// the tenant. Who has it, by a token or an API key, is the gateway's to verify.
func (a *api) member(h httpapi.TenantHandler) handler {
	return a.ForRoles(func(w http.ResponseWriter, r *http.Request, c httpapi.Caller) error {
		ctx := control.WithActor(r.Context(), control.Actor{Name: "user " + c.User, RequestID: w.Header().Get("X-Request-ID")})
		return h(w, r.WithContext(ctx), c)
	}, petstore.RoleAdmin)
}

// own is member for what an operator does to any tenant.
func (a *api) own(h tenantHandler) handler {
	return a.member(func(w http.ResponseWriter, r *http.Request, c httpapi.Caller) error { return h(w, r, c.Tenant) })
}

// refresh makes a change of the catalog visible to this process at once. When
// it fails, the directory's own round does it a moment later.
func (a *api) refresh(r *http.Request) {
	if err := a.Directory.Refresh(r.Context()); err != nil {
		a.Log.Warn("directory not refreshed", "error", httpapi.Clip(err.Error()))
	}
}

// done answers that there is nothing to show.
func done(w http.ResponseWriter) error {
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// pageLimit reads how many items a page may have.
func pageLimit(params url.Values) (int, error) {
	s := params.Get("limit")
	if s == "" {
		return 100, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 1000 {
		return 0, httpapi.BadField("limit", "expected 1 to 1000")
	}
	return n, nil
}

// page answers with a list of at most limit items; list may have one more, which
// shows that there is a next page, after the last one here.
func page[From, To any](w http.ResponseWriter, name string, list []From, limit int, id func(From) string, show func(From) To) error {
	out := map[string]any{}
	if len(list) > limit {
		list = list[:limit]
		out["next_after"] = id(list[limit-1])
	}
	items := make([]To, len(list))
	for i, item := range list {
		items[i] = show(item)
	}
	out[name] = items
	return httpapi.WriteJSON(w, http.StatusOK, out)
}
