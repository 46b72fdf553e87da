package controlapi

import (
	"net/http"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/httpapi"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Tenants' own domains, for the operator and for their administrators.

// hostJSON is a tenant's domain, with the DNS records that its owner has to
// set.
type hostJSON struct {
	control.HostClaim
	Records []recordJSON `json:"records"`
}

type recordJSON struct {
	Type    string `json:"type"`
	Name    string `json:"name"`
	Value   string `json:"value"`
	Purpose string `json:"purpose"`
}

func hostToJSON(h control.HostClaim) hostJSON {
	out := hostJSON{h, []recordJSON{}}
	if h.Token != "" {
		out.Records = append(out.Records,
			recordJSON{"TXT", h.ChallengeName(), h.Token, "proves that the domain is yours; keep it"},
			recordJSON{"CNAME", h.Host, h.Target, "leads requests to the service; where a CNAME is not possible, use the service's addresses"})
	}
	return out
}

func (a *api) listHosts(w http.ResponseWriter, r *http.Request, slug tenant.Slug) error {
	claims, err := a.Catalog.HostClaims(r.Context(), slug)
	if err != nil {
		return err
	}
	return page(w, "hosts", claims, len(claims), nil, hostToJSON)
}

// claimHost answers 201 for a new claim and 200 for one that is there already.
// To an administrator of a tenant (blind) a host of another tenant is like any
// other: who else is a customer is not theirs to learn.
func (a *api) claimHost(blind bool) tenantHandler {
	return func(w http.ResponseWriter, r *http.Request, slug tenant.Slug) error {
		var host string
		if err := httpapi.ReadObject(w, r, fields{"host": httpapi.Text(&host)}); err != nil {
			return err
		}
		claim, created, err := a.Catalog.ClaimHost(r.Context(), slug, host, blind)
		if err != nil {
			return err
		}
		status := http.StatusOK
		if created {
			status = http.StatusCreated
		}
		return httpapi.WriteJSON(w, status, hostToJSON(claim))
	}
}

func (a *api) releaseHost(w http.ResponseWriter, r *http.Request, slug tenant.Slug) error {
	if err := a.Catalog.ReleaseHost(r.Context(), slug, r.PathValue("host")); err != nil {
		return err
	}
	a.refresh(r)
	return done(w)
}

// checkHost asks DNS now.
func (a *api) checkHost(w http.ResponseWriter, r *http.Request, slug tenant.Slug) error {
	claim, err := a.Hosts.CheckNow(r.Context(), slug, r.PathValue("host"))
	if err != nil {
		return err
	}
	a.refresh(r)
	return httpapi.WriteJSON(w, http.StatusOK, hostToJSON(claim))
}
