package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// A tenant's configuration, for its administrator.

// forTenantAdmin lets a request in whose identity has the role of an
// administrator. Who has it, by a token or an API key, is the gateway's to
// verify.
func (a *api) forTenantAdmin(h tenantHandler) handler {
	return a.forTenant(func(w http.ResponseWriter, r *http.Request, c identity.Claims) error {
		if !slices.Contains(c.Roles, control.RoleAdmin) {
			if c.User == "" && len(c.Roles) == 0 {
				w.Header().Set("WWW-Authenticate", "Bearer")
				return newProblem(http.StatusUnauthorized, "a token of the tenant's administrator is required")
			}
			return newProblem(http.StatusForbidden, "an administrator of the tenant is required")
		}
		ctx := control.WithActor(r.Context(), control.Actor{Name: "user " + c.User, RequestID: w.Header().Get("X-Request-ID")})
		return h(w, r.WithContext(ctx), c)
	})
}

// configOf is the configuration in force for a request.
func (a *api) configOf(slug tenant.Slug) control.Config {
	if t := a.Directory.Lookup(slug); t != nil {
		return t.Config
	}
	return control.DefaultConfig()
}

type configJSON struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

func (a *api) listConfig(w http.ResponseWriter, _ *http.Request, c identity.Claims) error {
	out := struct {
		Config []configJSON `json:"config"`
	}{}
	for _, key := range control.ConfigKeys() {
		value, err := a.configOf(c.Tenant).Value(key)
		if err != nil {
			return err
		}
		out.Config = append(out.Config, configJSON{key, value})
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (a *api) getConfig(w http.ResponseWriter, r *http.Request, c identity.Claims) error {
	value, err := a.configOf(c.Tenant).Value(r.PathValue("key"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, configJSON{r.PathValue("key"), value})
	return nil
}

func (a *api) putConfig(w http.ResponseWriter, r *http.Request, c identity.Claims) error {
	var value json.RawMessage
	err := readObject(w, r, map[string]field{"value": func(raw json.RawMessage) error { value = raw; return nil }})
	if err != nil {
		return err
	}
	if value == nil {
		return badField("value", "expected a value")
	}
	return a.setConfig(w, r, c, value)
}

// deleteConfig gives a key back its default.
func (a *api) deleteConfig(w http.ResponseWriter, r *http.Request, c identity.Claims) error {
	return a.setConfig(w, r, c, nil)
}

func (a *api) setConfig(w http.ResponseWriter, r *http.Request, c identity.Claims, value json.RawMessage) error {
	key := r.PathValue("key")
	after, err := a.Catalog.SetConfig(r.Context(), c.Tenant, key, value)
	if err != nil {
		return err
	}
	a.refresh(r)
	now, err := after.Value(key)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, configJSON{key, now})
	return nil
}

// redeemToken exchanges the one-time token of a new tenant for an API key of
// its administrator.
func (a *api) redeemToken(w http.ResponseWriter, r *http.Request, c identity.Claims) error {
	var setup string
	if err := readObject(w, r, map[string]field{"one_time_token": text(&setup)}); err != nil {
		return err
	}
	key, secret, err := a.Catalog.Redeem(r.Context(), c.Tenant, setup)
	if errors.Is(err, control.ErrToken) {
		return newProblem(http.StatusForbidden, "the token is not accepted")
	}
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, struct {
		Token   string    `json:"token"`
		Expires time.Time `json:"expires_at"`
	}{secret, key.Expires})
	return nil
}

// allowed refuses a species that the tenant's configuration leaves out.
func (a *api) allowed(c identity.Claims, species string) error {
	list := a.configOf(c.Tenant).AllowedSpecies
	if len(list) == 0 || slices.Contains(list, species) {
		return nil
	}
	return &petstore.Invalid{Fields: []petstore.FieldError{{Field: "species", Problem: "expected one of " + strings.Join(list, ", ")}}}
}
