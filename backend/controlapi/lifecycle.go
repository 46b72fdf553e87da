package controlapi

import (
	"net/http"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/httpapi"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// patience is how long the work on a whole tenant may take.
const patience = 10 * time.Minute

// patient lifts the server's limit on the time of an answer. A writer without
// one needs no lifting.
func patient(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience))
}

// purgeTenant deletes a deactivated tenant's data for good; the body repeats
// the slug.
func (a *api) purgeTenant(w http.ResponseWriter, r *http.Request, slug tenant.Slug) error {
	var confirm string
	if err := httpapi.ReadObject(w, r, fields{"confirm": httpapi.Text(&confirm)}); err != nil {
		return err
	}
	patient(w)
	if err := a.Catalog.Purge(r.Context(), slug, confirm); err != nil {
		return err
	}
	a.refresh(r)
	return a.getTenant(w, r, slug)
}

// moveTenant brings a tenant's data to another place. It answers when the move
// is done.
func (a *api) moveTenant(w http.ResponseWriter, r *http.Request, slug tenant.Slug) error {
	var to string
	if err := httpapi.ReadObject(w, r, fields{"isolation": httpapi.Text(&to)}); err != nil {
		return err
	}
	isolation, err := petstore.ParseIsolation(to)
	if err != nil {
		return httpapi.BadField("isolation", "expected shared, schema or database")
	}
	patient(w)
	if err := a.Catalog.Move(r.Context(), slug, isolation); err != nil {
		return err
	}
	a.refresh(r)
	return a.getTenant(w, r, slug)
}

// exportTenant sends an archive. An error after the first byte can only break
// the connection off, which the checksum in the archive shows as well.
func (a *api) exportTenant(w http.ResponseWriter, r *http.Request, slug tenant.Slug) error {
	patient(w)
	out := &lateHeader{ResponseWriter: w, slug: slug.String()}
	err := a.Catalog.Export(r.Context(), slug, out)
	if err != nil && out.begun {
		a.Log.Error("export broken off", "tenant", slug.String(), "error", err.Error())
		panic(http.ErrAbortHandler)
	}
	return err
}

// lateHeader sets the archive's header with its first byte, so that an error
// before it is still a problem.
type lateHeader struct {
	http.ResponseWriter
	slug  string
	begun bool
}

func (l *lateHeader) Write(b []byte) (int, error) {
	if !l.begun {
		l.begun = true
		l.Header().Set("Content-Type", "application/gzip")
		l.Header().Set("Content-Disposition", `attachment; filename="`+l.slug+`.tar.gz"`)
	}
	return l.ResponseWriter.Write(b)
}

func (a *api) listEvents(w http.ResponseWriter, r *http.Request, slug tenant.Slug) error {
	events, err := a.Catalog.Events(r.Context(), slug, 100)
	if err != nil {
		return err
	}
	return httpapi.WriteJSON(w, http.StatusOK, map[string]any{"events": append([]control.Event{}, events...)})
}
