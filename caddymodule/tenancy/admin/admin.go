// Package admin is the module admin.api.tenancy: what operators ask a running gateway.
package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func init() { caddy.RegisterModule(new(Admin)) }

// Admin adds routes to Caddy's admin API, for operators:
//
//	GET  /tenancy/tenants          every tenant in the index, and what was skipped;
//	                               the header Tenancy-Registry-Age has the seconds
//	                               since the source was last known to say the same
//	GET  /tenancy/tenants/{slug}   one tenant and the limits in force for it
//	GET  /tenancy/explain?host=H   which tenant a host means, and why not
//	GET  /tenancy/keys             the ids of the identity keys in force, the signing one first
//	POST /tenancy/refresh          read the source now
//
// It owns nothing and asks for the running app on each request: Caddy never
// cleans admin modules up, and after a failed reload their context is gone.
type Admin struct{}

// CaddyModule returns the module's identity.
func (*Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.tenancy", New: func() caddy.Module { return new(Admin) }}
}

// Routes implements caddy.AdminRouter.
func (a *Admin) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "GET /tenancy/tenants", Handler: caddy.AdminHandlerFunc(a.list)},
		{Pattern: "GET /tenancy/tenants/{slug}", Handler: caddy.AdminHandlerFunc(a.show)},
		{Pattern: "GET /tenancy/explain", Handler: caddy.AdminHandlerFunc(a.explain)},
		{Pattern: "GET /tenancy/keys", Handler: caddy.AdminHandlerFunc(a.keys)},
		{Pattern: "POST /tenancy/refresh", Handler: caddy.AdminHandlerFunc(a.refresh)},
	}
}

// tenantView is a tenant as the admin API shows it.
type tenantView struct {
	Slug   tenant.Slug   `json:"slug"`
	ID     string        `json:"id"`
	Name   string        `json:"name,omitempty"`
	Plan   tenant.Plan   `json:"plan"`
	Status tenant.Status `json:"status"`
	Hosts  []string      `json:"hosts,omitempty"`
	// Upstreams and Issuer are the tenant's own, if it has any.
	Upstreams []string    `json:"upstreams,omitempty"`
	Issuer    string      `json:"issuer,omitempty"`
	Limits    []limitView `json:"limits,omitempty"`
	Error     string      `json:"error,omitempty"`
}

type limitView struct {
	Name          string `json:"name"`
	Quota         int64  `json:"quota"`
	WindowSeconds int64  `json:"window_seconds"`
}

func view(a *tenancy.App, t *tenant.Tenant) tenantView {
	v := tenantView{Slug: t.Slug, ID: t.ID, Name: t.Name, Plan: a.Policies().Name(t), Status: t.Status, Hosts: t.Hosts, Upstreams: t.Upstreams, Issuer: t.Issuer}
	policy, err := a.Policies().Of(t)
	if err != nil {
		v.Error = err.Error()
		return v
	}
	for _, l := range policy.Limits {
		v.Limits = append(v.Limits, limitView{l.Name(), l.N, int64(l.Window / time.Second)})
	}
	return v
}

func (a *Admin) list(w http.ResponseWriter, _ *http.Request) error {
	app, err := runningApp()
	if err != nil {
		return err
	}
	snapshot := app.Tenants()
	w.Header().Set("Tenancy-Registry-Age", strconv.Itoa(int(app.Registry().Stats().Age.Seconds())))
	out := struct {
		Source   string       `json:"source"`
		Loaded   time.Time    `json:"loaded"`
		Tenants  []tenantView `json:"tenants"`
		Problems []string     `json:"problems,omitempty"`
	}{Source: app.Registry().Stats().Source, Loaded: snapshot.LoadedAt(), Tenants: []tenantView{}}
	for t := range snapshot.All() {
		out.Tenants = append(out.Tenants, view(app, t))
	}
	for _, p := range snapshot.Problems() {
		out.Problems = append(out.Problems, p.String())
	}
	return reply(w, out)
}

func (a *Admin) show(w http.ResponseWriter, r *http.Request) error {
	app, err := runningApp()
	if err != nil {
		return err
	}
	slug, err := tenant.ParseSlug(r.PathValue("slug"))
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err}
	}
	t := app.Tenants().BySlug(slug)
	if t == nil {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: fmt.Errorf("%w: %q", tenant.ErrNotFound, slug)}
	}
	return reply(w, view(app, t))
}

// explain answers for each site's own base domain, since one process may serve
// several.
func (a *Admin) explain(w http.ResponseWriter, r *http.Request) error {
	app, err := runningApp()
	if err != nil {
		return err
	}
	query := r.URL.Query()
	base, host := query.Get("base"), query.Get("host")
	if base == "" || host == "" {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: errors.New("expected ?base=DOMAIN&host=HOST, the domain as in 'tenant host DOMAIN'")}
	}
	resolver, err := resolve.NewHost(base)
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err}
	}
	out := struct {
		Host   string      `json:"host"`
		Tenant *tenantView `json:"tenant,omitempty"`
		Source string      `json:"source,omitempty"`
		Served bool        `json:"served"`
		Reason string      `json:"reason,omitempty"`
		Detail string      `json:"detail,omitempty"`
	}{Host: host}
	answer, err := resolver.Resolve(&http.Request{Host: host, Header: http.Header{}, URL: new(url.URL)}, app.Tenants())
	if err == nil {
		v := view(app, answer.Tenant)
		out.Tenant, out.Source = &v, answer.Source
		err = tenant.Check(answer.Tenant)
	}
	if out.Served = err == nil; err != nil {
		out.Reason, out.Detail = tenant.Reason(err), err.Error()
	}
	return reply(w, out)
}

func (a *Admin) keys(w http.ResponseWriter, _ *http.Request) error {
	app, err := runningApp()
	if err != nil {
		return err
	}
	return reply(w, map[string][]string{"keys": app.SigningKeys()})
}

func (a *Admin) refresh(w http.ResponseWriter, r *http.Request) error {
	app, err := runningApp()
	if err != nil {
		return err
	}
	if err := app.Registry().Refresh(r.Context()); err != nil {
		return caddy.APIError{HTTPStatus: http.StatusBadGateway, Err: err}
	}
	return reply(w, map[string]int{"tenants": app.Tenants().Len()})
}

func runningApp() (*tenancy.App, error) {
	app, err := caddy.ActiveContext().AppIfConfigured("tenancy")
	if err != nil {
		return nil, caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errors.New("the running configuration has no 'tenancy'")}
	}
	return app.(*tenancy.App), nil
}

func reply(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

var _ caddy.AdminRouter = (*Admin)(nil)
