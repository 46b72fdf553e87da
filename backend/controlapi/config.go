package controlapi

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/httpapi"
)

// A tenant's configuration, for its administrator.

type configJSON struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

func (a *api) listConfig(w http.ResponseWriter, _ *http.Request, c httpapi.Caller) error {
	var list []configJSON
	for _, key := range control.ConfigKeys() {
		value, err := control.ConfigValue(c.Config, key)
		if err != nil {
			return err
		}
		list = append(list, configJSON{key, value})
	}
	return httpapi.WriteJSON(w, http.StatusOK, map[string]any{"config": list})
}

func (a *api) getConfig(w http.ResponseWriter, r *http.Request, c httpapi.Caller) error {
	key := r.PathValue("key")
	value, err := control.ConfigValue(c.Config, key)
	if err != nil {
		return err
	}
	return httpapi.WriteJSON(w, http.StatusOK, configJSON{key, value})
}

func (a *api) putConfig(w http.ResponseWriter, r *http.Request, c httpapi.Caller) error {
	var value json.RawMessage
	err := httpapi.ReadObject(w, r, fields{"value": func(raw json.RawMessage) error { value = raw; return nil }})
	if err != nil {
		return err
	}
	if value == nil {
		return httpapi.BadField("value", "expected a value")
	}
	return a.setConfig(w, r, c, value)
}

// deleteConfig gives a key back its default.
func (a *api) deleteConfig(w http.ResponseWriter, r *http.Request, c httpapi.Caller) error {
	return a.setConfig(w, r, c, nil)
}

func (a *api) setConfig(w http.ResponseWriter, r *http.Request, c httpapi.Caller, value json.RawMessage) (err error) {
	if c.Config, err = a.Catalog.SetConfig(r.Context(), c.Tenant, r.PathValue("key"), value); err != nil {
		return err
	}
	a.refresh(r)
	return a.getConfig(w, r, c)
}

// redeemToken exchanges the one-time token of a new tenant for an API key of
// its administrator.
func (a *api) redeemToken(w http.ResponseWriter, r *http.Request, c httpapi.Caller) error {
	var setup string
	if err := httpapi.ReadObject(w, r, fields{"one_time_token": httpapi.Text(&setup)}); err != nil {
		return err
	}
	key, secret, err := a.Catalog.Redeem(r.Context(), c.Tenant, setup)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return httpapi.WriteJSON(w, http.StatusOK, struct {
		Token   string    `json:"token"`
		Expires time.Time `json:"expires_at"`
	}{secret, key.Expires})
}
