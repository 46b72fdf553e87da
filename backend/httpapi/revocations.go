package httpapi

import (
	"net/http"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
)

// Tokens that are refused before their time, for the operator.

type revocationJSON struct {
	ID      string     `json:"id"`
	TokenID string     `json:"token_id,omitempty"`
	Subject string     `json:"subject,omitempty"`
	Issuer  string     `json:"issuer,omitempty"`
	Before  *time.Time `json:"before,omitempty"`
	Until   *time.Time `json:"until"`
	Created time.Time  `json:"created_at"`
}

func revocationToJSON(r control.Revocation) revocationJSON {
	return revocationJSON{r.ID, r.TokenID, r.Subject, r.Issuer, instantJSON(r.Before), instantJSON(r.Until), r.CreatedAt}
}

// createRevocation refuses one token by its jti, or all of a subject that were
// issued until now.
func (a *api) createRevocation(w http.ResponseWriter, r *http.Request) error {
	var n control.Revocation
	err := readObject(w, r, map[string]field{
		"token_id": text(&n.TokenID), "subject": text(&n.Subject), "issuer": text(&n.Issuer),
		"before": instant(&n.Before), "until": instant(&n.Until),
	})
	if err != nil {
		return err
	}
	made, err := a.Catalog.Revoke(r.Context(), n)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, revocationToJSON(made))
	return nil
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
	out := struct {
		Revocations []revocationJSON `json:"revocations"`
		After       string           `json:"next_after,omitempty"`
	}{Revocations: []revocationJSON{}}
	for i, one := range list {
		if i == limit {
			out.After = list[i-1].ID
			break
		}
		out.Revocations = append(out.Revocations, revocationToJSON(one))
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// deleteRevocation lets the tokens pass again until they expire.
func (a *api) deleteRevocation(w http.ResponseWriter, r *http.Request) error {
	if err := a.Catalog.Unrevoke(r.Context(), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
