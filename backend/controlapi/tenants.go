package controlapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/httpapi"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// tenantJSON is a tenant as the operator sees it.
type tenantJSON struct {
	ID        string            `json:"id"`
	Slug      tenant.Slug       `json:"slug"`
	Name      string            `json:"name"`
	Plan      tenant.Plan       `json:"plan"`
	Status    string            `json:"status"`
	Limits    string            `json:"limits"`
	Isolation string            `json:"isolation"`
	Hosts     []string          `json:"hosts"`
	Upstreams []string          `json:"upstreams"`
	URLs      map[string]string `json:"urls"`
	CreatedAt time.Time         `json:"created_at"`
	UpdatedAt time.Time         `json:"updated_at"`
	PurgeAt   time.Time         `json:"purge_at,omitzero"`
}

func (a *api) tenantToJSON(t control.Tenant) tenantJSON {
	site := a.SiteURL(t.Slug)
	return tenantJSON{
		ID: t.ID, Slug: t.Slug, Name: t.Name, Plan: t.Plan, Status: t.Status.String(),
		Limits: t.Limits, Isolation: string(t.Isolation), Hosts: append([]string{}, t.Hosts...), Upstreams: append([]string{}, t.Upstreams...),
		URLs:      map[string]string{"site": site + "/", "pets": site + "/api/pets"},
		CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt, PurgeAt: t.PurgeAt,
	}
}

func (a *api) createTenant(w http.ResponseWriter, r *http.Request) error {
	var n control.New
	sample := true
	err := httpapi.ReadObject(w, r, fields{
		"slug": httpapi.Text(&n.Slug), "name": httpapi.Text(&n.Name), "plan": httpapi.Text(&n.Plan), "isolation": httpapi.Text(&n.Isolation),
		"admin_email": httpapi.Text(&n.AdminEmail), "sample_pet": httpapi.Bool(&sample), "upstreams": httpapi.Texts("upstreams", &n.Upstreams),
	})
	if err != nil {
		return err
	}
	n.NoSamplePet = !sample
	key, err := idempotencyKey(r)
	if err != nil {
		return err
	}
	created, err := a.Catalog.Create(r.Context(), n, key)
	if err != nil {
		return err
	}
	a.refresh(r)
	h := w.Header()
	h.Set("Location", "/api/admin/tenants/"+created.Tenant.Slug.String())
	h.Set("Cache-Control", "no-store") // the token is for this client alone
	return httpapi.WriteJSON(w, http.StatusCreated, struct {
		tenantJSON
		Token string `json:"one_time_token"`
	}{a.tenantToJSON(created.Tenant), created.SetupToken})
}

// idempotencyKey reads the header of that name
// (draft-ietf-httpapi-idempotency-key-header): a string, in quotes or not.
func idempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	if n := len(key); n >= 2 && key[0] == '"' && key[n-1] == '"' {
		key = key[1 : n-1]
	}
	if len(values) > 1 || key == "" || len(key) > 255 || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", httpapi.BadField("Idempotency-Key", "expected one key of 1 to 255 printable characters")
	}
	return key, nil
}

func (a *api) listTenants(w http.ResponseWriter, r *http.Request) error {
	params := r.URL.Query()
	limit, err := pageLimit(params)
	if err != nil {
		return err
	}
	after := params.Get("after")
	if after != "" {
		if _, err := tenant.ParseSlug(after); err != nil {
			return httpapi.BadField("after", "expected a tenant's slug")
		}
	}
	list, err := a.Catalog.List(r.Context(), after, limit+1)
	if err != nil {
		return err
	}
	return page(w, "tenants", list, limit, func(t control.Tenant) string { return t.Slug.String() }, a.tenantToJSON)
}

func (a *api) getTenant(w http.ResponseWriter, r *http.Request, slug tenant.Slug) error {
	t, err := a.Catalog.Get(r.Context(), slug)
	if err != nil {
		return err
	}
	return httpapi.WriteJSON(w, http.StatusOK, a.tenantToJSON(t))
}

func (a *api) patchTenant(w http.ResponseWriter, r *http.Request, slug tenant.Slug) error {
	var p control.Patch
	texts := func(name string) func(*[]string) httpapi.Field {
		return func(to *[]string) httpapi.Field { return httpapi.Texts(name, to) }
	}
	err := httpapi.ReadObject(w, r, fields{
		"name": httpapi.Given(&p.Name, httpapi.Text), "plan": httpapi.Given(&p.Plan, httpapi.Text),
		"status": httpapi.Given(&p.Status, status), "limits": httpapi.Given(&p.Limits, httpapi.OptionalText),
		"hosts": httpapi.Given(&p.Hosts, texts("hosts")), "upstreams": httpapi.Given(&p.Upstreams, texts("upstreams")),
	})
	if err != nil {
		return err
	}
	t, err := a.Catalog.Change(r.Context(), slug, p)
	if err != nil {
		return err
	}
	a.refresh(r)
	return httpapi.WriteJSON(w, http.StatusOK, a.tenantToJSON(t))
}

func status(to *tenant.Status) httpapi.Field {
	return func(raw json.RawMessage) error {
		var s string
		err := httpapi.Text(&s)(raw)
		if err == nil {
			*to, err = tenant.ParseStatus(s)
		}
		if err != nil {
			return errors.New("expected active, suspended or deactivated")
		}
		return nil
	}
}
