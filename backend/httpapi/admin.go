package httpapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// tenantJSON is a tenant as the operator sees it.
type tenantJSON struct {
	ID        string            `json:"id"`
	Slug      string            `json:"slug"`
	Name      string            `json:"name"`
	Plan      string            `json:"plan"`
	Status    string            `json:"status"`
	Limits    string            `json:"limits"`
	Isolation string            `json:"isolation"`
	Hosts     []string          `json:"hosts"`
	Upstreams []string          `json:"upstreams"`
	URLs      map[string]string `json:"urls"`
	CreatedAt time.Time         `json:"created_at"`
	UpdatedAt time.Time         `json:"updated_at"`
	PurgeAt   *time.Time        `json:"purge_at,omitempty"`
}

func (a *api) tenantToJSON(t control.Tenant) tenantJSON {
	site := a.SiteURL(t.Slug)
	out := tenantJSON{
		ID: t.ID, Slug: t.Slug.String(), Name: t.Name, Plan: string(t.Plan), Status: t.Status.String(),
		Limits: t.Limits, Isolation: string(t.Isolation), Hosts: t.Hosts, Upstreams: t.Upstreams,
		URLs:      map[string]string{"site": site + "/", "pets": site + "/api/pets"},
		CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt,
	}
	if out.Hosts == nil {
		out.Hosts = []string{}
	}
	if out.Upstreams == nil {
		out.Upstreams = []string{}
	}
	if !t.PurgeAt.IsZero() {
		out.PurgeAt = &t.PurgeAt
	}
	return out
}

func (a *api) createTenant(w http.ResponseWriter, r *http.Request) error {
	var n control.New
	sample := true
	err := readObject(w, r, map[string]field{
		"slug": text(&n.Slug), "name": text(&n.Name), "plan": text(&n.Plan), "isolation": text(&n.Isolation),
		"admin_email": text(&n.AdminEmail), "sample_pet": boolean(&sample), "upstreams": texts("upstreams", &n.Upstreams),
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
	writeJSON(w, http.StatusCreated, struct {
		tenantJSON
		Token string `json:"one_time_token"`
	}{a.tenantToJSON(created.Tenant), created.SetupToken})
	return nil
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
		return "", badField("Idempotency-Key", "expected one key of 1 to 255 printable characters")
	}
	return key, nil
}

// refresh makes a change of the catalog visible to this process at once. When
// it fails, the directory's own round does it a moment later.
func (a *api) refresh(r *http.Request) {
	if err := a.Directory.Refresh(r.Context()); err != nil {
		a.Log.Warn("directory not refreshed", "error", clip(err.Error()))
	}
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
			return badField("after", "expected a tenant's slug")
		}
	}
	list, err := a.Catalog.List(r.Context(), after, limit+1)
	if err != nil {
		return err
	}
	out := struct {
		Tenants []tenantJSON `json:"tenants"`
		After   string       `json:"next_after,omitempty"`
	}{Tenants: []tenantJSON{}}
	for i, t := range list {
		if i == limit {
			out.After = list[i-1].Slug.String()
			break
		}
		out.Tenants = append(out.Tenants, a.tenantToJSON(t))
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// slugOf reads the slug in the path. One that breaks the grammar names no
// tenant.
func slugOf(r *http.Request) (tenant.Slug, error) {
	slug, err := tenant.ParseSlug(r.PathValue("slug"))
	if err != nil {
		return slug, tenant.ErrNotFound
	}
	return slug, nil
}

func (a *api) getTenant(w http.ResponseWriter, r *http.Request) error {
	slug, err := slugOf(r)
	if err != nil {
		return err
	}
	t, err := a.Catalog.Get(r.Context(), slug)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, a.tenantToJSON(t))
	return nil
}

func (a *api) patchTenant(w http.ResponseWriter, r *http.Request) error {
	slug, err := slugOf(r)
	if err != nil {
		return err
	}
	var name, plan, status, limits string
	var hosts, upstreams []string
	var hasName, hasPlan, hasStatus, hasLimits, hasHosts, hasUpstreams bool
	err = readObject(w, r, map[string]field{
		"name": given(&hasName, text(&name)), "plan": given(&hasPlan, text(&plan)),
		"hosts": given(&hasHosts, texts("hosts", &hosts)), "upstreams": given(&hasUpstreams, texts("upstreams", &upstreams)),
		"status": given(&hasStatus, text(&status)), "limits": given(&hasLimits, optionalText(&limits)),
	})
	if err != nil {
		return err
	}
	var p control.Patch
	if hasName {
		p.Name = &name
	}
	if hasPlan {
		p.Plan = &plan
	}
	if hasLimits {
		p.Limits = &limits
	}
	if hasHosts {
		p.Hosts = &hosts
	}
	if hasUpstreams {
		p.Upstreams = &upstreams
	}
	if hasStatus {
		to, err := tenant.ParseStatus(status)
		if err != nil {
			return badField("status", "expected active, suspended or deactivated")
		}
		p.Status = &to
	}
	t, err := a.Catalog.Change(r.Context(), slug, p)
	if err != nil {
		return err
	}
	a.refresh(r)
	writeJSON(w, http.StatusOK, a.tenantToJSON(t))
	return nil
}
