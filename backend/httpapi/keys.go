package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
)

// API keys of tenants and their own issuers, for the operator.

// instant sets a time; null leaves it zero.
func instant(to *time.Time) field {
	return func(raw json.RawMessage) error {
		var s string
		if err := optionalText(&s)(raw); err != nil || s == "" {
			return err
		}
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return errors.New("expected a time as in 2030-01-31T12:00:00Z, or null")
		}
		*to = t
		return nil
	}
}

// instantJSON is a time in an answer: null for none.
func instantJSON(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

type keyJSON struct {
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	Roles   []string   `json:"roles"`
	Created time.Time  `json:"created_at"`
	Expires *time.Time `json:"expires"`
	Revoked *time.Time `json:"revoked_at"`
}

func keyToJSON(k control.Key) keyJSON {
	out := keyJSON{k.ID, k.Name, k.Roles, k.CreatedAt, instantJSON(k.Expires), instantJSON(k.Revoked)}
	if out.Roles == nil {
		out.Roles = []string{}
	}
	return out
}

// createKey makes an API key. The answer is the only place where the key ever
// stands.
func (a *api) createKey(w http.ResponseWriter, r *http.Request) error {
	slug, err := slugOf(r)
	if err != nil {
		return err
	}
	var n control.NewKey
	err = readObject(w, r, map[string]field{
		"name": text(&n.Name), "roles": texts("roles", &n.Roles), "expires": instant(&n.Expires),
	})
	if err != nil {
		return err
	}
	k, key, err := a.Catalog.CreateKey(r.Context(), slug, n)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store") // the key is for this client alone
	writeJSON(w, http.StatusCreated, struct {
		keyJSON
		Key string `json:"key"`
	}{keyToJSON(k), key})
	return nil
}

func (a *api) listKeys(w http.ResponseWriter, r *http.Request) error {
	slug, err := slugOf(r)
	if err != nil {
		return err
	}
	keys, err := a.Catalog.Keys(r.Context(), slug)
	if err != nil {
		return err
	}
	out := struct {
		Keys []keyJSON `json:"keys"`
	}{[]keyJSON{}}
	for _, k := range keys {
		out.Keys = append(out.Keys, keyToJSON(k))
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (a *api) revokeKey(w http.ResponseWriter, r *http.Request) error {
	slug, err := slugOf(r)
	if err != nil {
		return err
	}
	if err := a.Catalog.RevokeKey(r.Context(), slug, r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *api) getIssuer(w http.ResponseWriter, r *http.Request) error {
	slug, err := slugOf(r)
	if err != nil {
		return err
	}
	issuer, err := a.Catalog.IssuerOf(r.Context(), slug)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, issuer)
	return nil
}

func (a *api) putIssuer(w http.ResponseWriter, r *http.Request) error {
	var issuer control.Issuer
	if err := readObject(w, r, map[string]field{"issuer": text(&issuer.Issuer), "jwks": text(&issuer.JWKS)}); err != nil {
		return err
	}
	if issuer == (control.Issuer{}) {
		return badField("issuer", "expected issuer and jwks; DELETE takes them away")
	}
	return a.setIssuer(w, r, issuer)
}

// deleteIssuer lets the platform's tokens be for the tenant again.
func (a *api) deleteIssuer(w http.ResponseWriter, r *http.Request) error {
	return a.setIssuer(w, r, control.Issuer{})
}

func (a *api) setIssuer(w http.ResponseWriter, r *http.Request, issuer control.Issuer) error {
	slug, err := slugOf(r)
	if err != nil {
		return err
	}
	if err := a.Catalog.SetIssuer(r.Context(), slug, issuer); err != nil {
		return err
	}
	a.refresh(r)
	writeJSON(w, http.StatusOK, issuer)
	return nil
}
