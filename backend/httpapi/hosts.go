package httpapi

import (
	"net/http"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// hostJSON is a tenant's domain, with the DNS records that its owner has to
// set.
type hostJSON struct {
	Host         string       `json:"host"`
	State        string       `json:"state"`
	Records      []recordJSON `json:"records"`
	Routed       bool         `json:"routed"`
	CreatedAt    time.Time    `json:"created_at"`
	VerifiedAt   *time.Time   `json:"verified_at,omitempty"`
	CheckedAt    *time.Time   `json:"checked_at,omitempty"`
	FailingSince *time.Time   `json:"failing_since,omitempty"`
	Problem      string       `json:"problem,omitempty"`
}

type recordJSON struct {
	Type    string `json:"type"`
	Name    string `json:"name"`
	Value   string `json:"value"`
	Purpose string `json:"purpose"`
}

func hostToJSON(h control.HostClaim) hostJSON {
	at := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	out := hostJSON{
		Host: h.Host, State: h.State, Records: []recordJSON{}, Routed: h.Routed, CreatedAt: h.CreatedAt,
		VerifiedAt: at(h.VerifiedAt), CheckedAt: at(h.CheckedAt), FailingSince: at(h.FailingSince), Problem: h.Problem,
	}
	if h.Token != "" {
		out.Records = append(out.Records,
			recordJSON{"TXT", h.ChallengeName(), h.Token, "proves that the domain is yours; keep it"},
			recordJSON{"CNAME", h.Host, h.Target, "leads requests to the service; where a CNAME is not possible, use the service's addresses"})
	}
	return out
}

// hostRoutes are the routes of tenants' own domains: the operator's for any
// tenant, and those of a tenant's own administrators.
func (a *api) hostRoutes(byPath map[string]map[string]handler) {
	operator := func(h func(w http.ResponseWriter, r *http.Request, slug tenant.Slug, own bool) error) handler {
		return a.forAdmin(func(w http.ResponseWriter, r *http.Request) error {
			slug, err := slugOf(r)
			if err != nil {
				return err
			}
			return h(w, r, slug, false)
		})
	}
	member := func(h func(w http.ResponseWriter, r *http.Request, slug tenant.Slug, own bool) error) handler {
		return a.forTenantAdmin(func(w http.ResponseWriter, r *http.Request, c identity.Claims) error {
			return h(w, r, c.Tenant, true)
		})
	}
	byPath["/api/admin/tenants/{slug}/hosts"] = map[string]handler{"GET": operator(a.listHosts), "POST": operator(a.claimHost)}
	byPath["/api/admin/tenants/{slug}/hosts/{host}"] = map[string]handler{"DELETE": operator(a.releaseHost)}
	byPath["/api/admin/tenants/{slug}/hosts/{host}/check"] = map[string]handler{"POST": operator(a.checkHost)}
	byPath["/api/hosts"] = map[string]handler{"GET": member(a.listHosts), "POST": member(a.claimHost)}
	byPath["/api/hosts/{host}"] = map[string]handler{"DELETE": member(a.releaseHost)}
}

func (a *api) listHosts(w http.ResponseWriter, r *http.Request, slug tenant.Slug, _ bool) error {
	claims, err := a.Catalog.HostClaims(r.Context(), slug)
	if err != nil {
		return err
	}
	out := struct {
		Hosts []hostJSON `json:"hosts"`
	}{Hosts: []hostJSON{}}
	for _, h := range claims {
		out.Hosts = append(out.Hosts, hostToJSON(h))
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// claimHost answers 201 for a new claim and 200 for one that is there already.
// To an administrator of a tenant a host of another tenant is like any other:
// who else is a customer is not theirs to learn.
func (a *api) claimHost(w http.ResponseWriter, r *http.Request, slug tenant.Slug, own bool) error {
	var host string
	if err := readObject(w, r, map[string]field{"host": text(&host)}); err != nil {
		return err
	}
	claim, created, err := a.Catalog.ClaimHost(r.Context(), slug, host, own)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	writeJSON(w, status, hostToJSON(claim))
	return nil
}

func (a *api) releaseHost(w http.ResponseWriter, r *http.Request, slug tenant.Slug, _ bool) error {
	if err := a.Catalog.ReleaseHost(r.Context(), slug, r.PathValue("host")); err != nil {
		return err
	}
	a.refresh(r)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// checkHost asks DNS now.
func (a *api) checkHost(w http.ResponseWriter, r *http.Request, slug tenant.Slug, _ bool) error {
	if a.Hosts == nil {
		return newProblem(http.StatusNotFound, "no such resource")
	}
	claim, err := a.Hosts.CheckNow(r.Context(), slug, r.PathValue("host"))
	if err != nil {
		return err
	}
	a.refresh(r)
	writeJSON(w, http.StatusOK, hostToJSON(claim))
	return nil
}
