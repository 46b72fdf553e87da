package controlapi

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/httpapi"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/strictjson"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Attempts to cross from one tenant to another: taken from gateways, and shown
// to the operator.

// maxNesting is more than a delivery has.
const maxNesting = 8

// takeAccess takes records that a gateway has signed. Whoever delivers again
// what is there already gets the same answer: the first one may have been lost.
func (a *api) takeAccess(w http.ResponseWriter, r *http.Request) error {
	values := r.Header.Values(identity.HeaderAudit)
	if len(values) != 1 {
		return httpapi.NewProblem(http.StatusUnauthorized, "a signed delivery is required")
	}
	body, err := httpapi.ReadBody(w, r)
	if err != nil {
		return err
	}
	if err := a.Verifier.VerifyAudit(values[0], body, a.Now()); err != nil {
		return httpapi.NewProblem(http.StatusUnauthorized, "a signed delivery is required").Because(err)
	}
	var delivery struct {
		Records *[]control.Access `json:"records"`
	}
	err = strictjson.Unmarshal(withoutNUL(body), maxNesting, &delivery)
	if err == nil && delivery.Records == nil {
		err = errors.New("expected a list of objects")
	}
	if err != nil {
		return httpapi.BadField("records", err.Error())
	}
	if _, err := a.Catalog.SaveAccess(r.Context(), *delivery.Records); err != nil {
		return err
	}
	return done(w)
}

// withoutNUL replaces U+0000, which an attacker may have sent and a gateway's
// JSON may hold: no database keeps it, and what is refused would be delivered
// for ever. An escaped backslash goes first, so that none is half of a match.
func withoutNUL(body []byte) []byte {
	return []byte(strings.NewReplacer(`\\`, `\\`, `\u0000`, `\ufffd`).Replace(string(body)))
}

// listAccess shows records to the operator, the newest first.
func (a *api) listAccess(w http.ResponseWriter, r *http.Request) error {
	params := r.URL.Query()
	q := control.AccessQuery{Type: params.Get("type"), After: params.Get("after")}
	var err error
	if q.Limit, err = pageLimit(params); err != nil {
		return err
	}
	if s := params.Get("tenant"); s != "" {
		if q.Tenant, err = tenant.ParseSlug(s); err != nil {
			return httpapi.BadField("tenant", "expected a tenant's slug")
		}
	}
	for name, to := range map[string]*time.Time{"since": &q.Since, "before": &q.Before} {
		if s := params.Get(name); s != "" {
			if *to, err = time.Parse(time.RFC3339, s); err != nil {
				return httpapi.BadField(name, "expected a time as in 2030-01-31T12:00:00Z")
			}
		}
	}
	list, next, err := a.Catalog.ListAccess(r.Context(), q)
	if err != nil {
		return err
	}
	return httpapi.WriteJSON(w, http.StatusOK, struct {
		Records []control.Access `json:"records"`
		After   string           `json:"next_after,omitempty"`
	}{append([]control.Access{}, list...), next})
}
