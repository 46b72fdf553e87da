package controlapi

import (
	"net/http"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/httpapi"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Credentials, for the operator: API keys of tenants, their own issuers, and
// tokens that are refused before their time.

// createKey makes an API key. The answer is the only place where the key ever
// stands.
func (a *api) createKey(w http.ResponseWriter, r *http.Request, slug tenant.Slug) error {
	var n control.NewKey
	err := httpapi.ReadObject(w, r, fields{
		"name": httpapi.Text(&n.Name), "roles": httpapi.Texts("roles", &n.Roles), "expires": httpapi.Time(&n.Expires),
	})
	if err != nil {
		return err
	}
	k, key, err := a.Catalog.CreateKey(r.Context(), slug, n)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store") // the key is for this client alone
	return httpapi.WriteJSON(w, http.StatusCreated, struct {
		control.Key
		Text string `json:"key"`
	}{k, key})
}

func (a *api) listKeys(w http.ResponseWriter, r *http.Request, slug tenant.Slug) error {
	keys, err := a.Catalog.Keys(r.Context(), slug)
	if err != nil {
		return err
	}
	return httpapi.WriteJSON(w, http.StatusOK, map[string]any{"keys": append([]control.Key{}, keys...)})
}

func (a *api) revokeKey(w http.ResponseWriter, r *http.Request, slug tenant.Slug) error {
	if err := a.Catalog.RevokeKey(r.Context(), slug, r.PathValue("id")); err != nil {
		return err
	}
	return done(w)
}

func (a *api) getIssuer(w http.ResponseWriter, r *http.Request, slug tenant.Slug) error {
	t, err := a.Catalog.Get(r.Context(), slug)
	if err != nil {
		return err
	}
	return httpapi.WriteJSON(w, http.StatusOK, control.IssuerOf(t))
}

func (a *api) putIssuer(w http.ResponseWriter, r *http.Request, slug tenant.Slug) error {
	var issuer control.Issuer
	if err := httpapi.ReadObject(w, r, fields{"issuer": httpapi.Text(&issuer.Issuer), "jwks": httpapi.Text(&issuer.JWKS)}); err != nil {
		return err
	}
	if issuer == (control.Issuer{}) {
		return httpapi.BadField("issuer", "expected issuer and jwks; DELETE takes them away")
	}
	return a.setIssuer(w, r, slug, issuer)
}

// deleteIssuer lets the platform's tokens be for the tenant again.
func (a *api) deleteIssuer(w http.ResponseWriter, r *http.Request, slug tenant.Slug) error {
	return a.setIssuer(w, r, slug, control.Issuer{})
}

func (a *api) setIssuer(w http.ResponseWriter, r *http.Request, slug tenant.Slug, issuer control.Issuer) error {
	if _, err := a.Catalog.Change(r.Context(), slug, control.Patch{Issuer: &issuer}); err != nil {
		return err
	}
	a.refresh(r)
	return httpapi.WriteJSON(w, http.StatusOK, issuer)
}

// createRevocation refuses one token by its jti, or all of a subject that were
// issued until now.
func (a *api) createRevocation(w http.ResponseWriter, r *http.Request) error {
	var n control.Revocation
	err := httpapi.ReadObject(w, r, fields{
		"token_id": httpapi.Text(&n.TokenID), "subject": httpapi.Text(&n.Subject), "issuer": httpapi.Text(&n.Issuer),
		"before": httpapi.Time(&n.Before), "until": httpapi.Time(&n.Until),
	})
	if err != nil {
		return err
	}
	made, err := a.Catalog.Revoke(r.Context(), n)
	if err != nil {
		return err
	}
	return httpapi.WriteJSON(w, http.StatusCreated, made)
}

func (a *api) listRevocations(w http.ResponseWriter, r *http.Request) error {
	params := r.URL.Query()
	limit, err := pageLimit(params)
	if err != nil {
		return err
	}
	list, err := a.Catalog.Revocations(r.Context(), params.Get("after"), limit+1)
	if err != nil {
		return err
	}
	return page(w, "revocations", list, limit, func(r control.Revocation) string { return r.ID }, func(r control.Revocation) control.Revocation { return r })
}

// deleteRevocation lets the tokens pass again until they expire.
func (a *api) deleteRevocation(w http.ResponseWriter, r *http.Request) error {
	if err := a.Catalog.Unrevoke(r.Context(), r.PathValue("id")); err != nil {
		return err
	}
	return done(w)
}
