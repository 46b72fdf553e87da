package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Attempts to cross from one tenant to another: taken from gateways, and shown
// to the operator.

// auditRoute is where gateways deliver.
const auditRoute = "/internal/audit"

// takeAccess takes records that a gateway has signed. Whoever delivers again
// what is there already gets the same answer: the first one may have been lost.
func (a *api) takeAccess(w http.ResponseWriter, r *http.Request) error {
	values := r.Header.Values(identity.HeaderAudit)
	if len(values) != 1 {
		return newProblem(http.StatusUnauthorized, "a signed delivery is required")
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	if err := a.Verifier.VerifyAudit(values[0], body, a.Now()); err != nil {
		p := newProblem(http.StatusUnauthorized, "a signed delivery is required")
		p.cause = err
		return p
	}
	var records []control.Access
	var there bool
	err = decodeObject(body, map[string]field{
		"records": given(&there, objects("records", control.MaxAccess, func() map[string]field {
			records = append(records, control.Access{})
			return accessFields(&records[len(records)-1])
		})),
	})
	if err == nil && !there {
		err = badField("records", "expected a list of objects")
	}
	if err != nil {
		return err
	}
	if _, err := a.Catalog.SaveAccess(r.Context(), records); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func accessFields(to *control.Access) map[string]field {
	return map[string]field{
		"id": text(&to.ID), "time": instant(&to.At), "last": instant(&to.Last), "type": text(&to.Type), "reason": text(&to.Reason),
		"tenant": text(&to.Tenant), "user_tenant": text(&to.UserTenant), "user": text(&to.User), "claimed": texts("claimed", &to.Claimed),
		"method": text(&to.Method), "host": text(&to.Host), "path": text(&to.Path),
		"client_ip": text(&to.ClientIP), "request_id": text(&to.RequestID), "count": integer(&to.Count),
	}
}

// objects reads a list of at most so many objects; next gives the fields of the
// next one. name is the list's, for the names of its members.
func objects(name string, most int, next func() map[string]field) field {
	return func(raw json.RawMessage) error {
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil || list == nil {
			return errors.New("expected a list of objects")
		}
		if len(list) > most {
			return fmt.Errorf("expected at most %d objects", most)
		}
		for i, item := range list {
			err := decodeObject(item, next())
			var p *problem
			if errors.As(err, &p) {
				for j := range p.Errors {
					p.Errors[j].Field = fmt.Sprintf("%s[%d].%s", name, i, p.Errors[j].Field)
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
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
			return badField("tenant", "expected a tenant's slug")
		}
	}
	for name, to := range map[string]*time.Time{"since": &q.Since, "before": &q.Before} {
		if s := params.Get(name); s != "" {
			if *to, err = time.Parse(time.RFC3339, s); err != nil {
				return badField(name, "expected a time as in 2030-01-31T12:00:00Z")
			}
		}
	}
	list, next, err := a.Catalog.ListAccess(r.Context(), q)
	if err != nil {
		return err
	}
	if list == nil {
		list = []control.Access{}
	}
	writeJSON(w, http.StatusOK, struct {
		Records []control.Access `json:"records"`
		After   string           `json:"next_after,omitempty"`
	}{list, next})
	return nil
}

// pageLimit reads how many items a page may have.
func pageLimit(params url.Values) (int, error) {
	s := params.Get("limit")
	if s == "" {
		return 100, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 1000 {
		return 0, badField("limit", "expected 1 to 1000")
	}
	return n, nil
}
