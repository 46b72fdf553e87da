package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
)

// petJSON is a pet as clients see it.
type petJSON struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Species   string     `json:"species"`
	Breed     string     `json:"breed,omitempty"`
	Tags      []string   `json:"tags"`
	BirthDate string     `json:"birth_date,omitempty"`
	Microchip string     `json:"microchip_id,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
	DeletedAt *time.Time `json:"deleted_at,omitempty"`
}

func toJSON(p petstore.Pet) petJSON {
	out := petJSON{ID: p.ID, Name: p.Name, Species: p.Species, Breed: p.Breed, Tags: p.Tags,
		BirthDate: p.BirthDate, Microchip: p.MicrochipID, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt}
	if out.Tags == nil {
		out.Tags = []string{}
	}
	if !p.DeletedAt.IsZero() {
		out.DeletedAt = &p.DeletedAt
	}
	return out
}

// petFields are the fields that a client sets. All others of petJSON are the
// server's, and so unknown here.
func petFields(p *petstore.Pet) map[string]field {
	return map[string]field{
		"name": text(&p.Name), "species": text(&p.Species), "breed": optionalText(&p.Breed),
		"tags": texts("tags", &p.Tags), "birth_date": optionalText(&p.BirthDate), "microchip_id": optionalText(&p.MicrochipID),
	}
}

func (a *api) listPets(w http.ResponseWriter, r *http.Request, c identity.Claims) error {
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badField("query", "expected well-formed parameters")
	}
	for _, name := range []string{"species", "limit", "cursor"} {
		if len(params[name]) > 1 {
			return badField(name, "expected one value")
		}
	}
	config := a.configOf(c.Tenant)
	q := petstore.Query{Species: params.Get("species"), Limit: config.PageSize, WithDeleted: config.IncludeDeletedPets}
	if s := params.Get("limit"); s != "" {
		if q.Limit, err = strconv.Atoi(s); err != nil || q.Limit < 1 || q.Limit > petstore.MaxPage {
			return badField("limit", "expected 1 to "+strconv.Itoa(petstore.MaxPage))
		}
	}
	if s := params.Get("cursor"); s != "" {
		after, ok := a.cursors.open(c.Tenant, q.Species, s)
		if !ok {
			return badField("cursor", "expected a cursor of this listing")
		}
		q.After = after
	}
	page, err := a.Store.Pets(c.Tenant).List(r.Context(), q)
	if err != nil {
		return err
	}
	out := struct {
		Pets []petJSON `json:"pets"`
		Next string    `json:"next_cursor,omitempty"`
	}{Pets: make([]petJSON, len(page.Pets))}
	for i, p := range page.Pets {
		out.Pets[i] = toJSON(p)
	}
	if page.More {
		out.Next = a.cursors.seal(c.Tenant, q.Species, page.Pets[len(page.Pets)-1].ID)
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (a *api) createPet(w http.ResponseWriter, r *http.Request, c identity.Claims) error {
	var p petstore.Pet
	if err := readObject(w, r, petFields(&p)); err != nil {
		return err
	}
	if err := a.allowed(c, p.Species); err != nil {
		return err
	}
	p, err := a.Store.Pets(c.Tenant).Create(r.Context(), p)
	if err != nil {
		return err
	}
	w.Header().Set("Location", prefix(r, c)+"/api/pets/"+p.ID)
	writeJSON(w, http.StatusCreated, toJSON(p))
	return nil
}

// prefix is where the gateway put the tenant in the path, if it did. Nothing
// but the verified tenant's own name is believed.
func prefix(r *http.Request, c identity.Claims) string {
	if own := "/" + c.Tenant.String(); r.Header.Get("X-Forwarded-Prefix") == own {
		return own
	}
	return ""
}

func (a *api) getPet(w http.ResponseWriter, r *http.Request, c identity.Claims) error {
	p, err := a.Store.Pets(c.Tenant).Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, toJSON(p))
	return nil
}

func (a *api) replacePet(w http.ResponseWriter, r *http.Request, c identity.Claims) error {
	var given petstore.Pet
	if err := readObject(w, r, petFields(&given)); err != nil {
		return err
	}
	return a.changePet(w, r, c, func(p *petstore.Pet) error {
		p.Name, p.Species, p.Breed, p.Tags, p.BirthDate = given.Name, given.Species, given.Breed, given.Tags, given.BirthDate
		p.MicrochipID = given.MicrochipID
		return nil
	})
}

// patchPet follows RFC 7396: absent fields stay, null empties. The body is
// read once, before the transaction, and applied inside it.
func (a *api) patchPet(w http.ResponseWriter, r *http.Request, c identity.Claims) error {
	var scratch petstore.Pet
	patch := map[string]json.RawMessage{}
	fields := petFields(&scratch)
	for name, set := range fields {
		fields[name] = func(raw json.RawMessage) error {
			patch[name] = raw
			return set(raw)
		}
	}
	if err := readObject(w, r, fields); err != nil {
		return err
	}
	return a.changePet(w, r, c, func(p *petstore.Pet) error {
		set := petFields(p)
		for name, raw := range patch {
			if err := set[name](raw); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *api) changePet(w http.ResponseWriter, r *http.Request, c identity.Claims, change func(*petstore.Pet) error) error {
	p, err := a.Store.Pets(c.Tenant).Change(r.Context(), r.PathValue("id"), func(p *petstore.Pet) error {
		before := p.Species
		if err := change(p); err != nil || p.Species == before {
			return err
		}
		return a.allowed(c, p.Species)
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, toJSON(p))
	return nil
}

func (a *api) deletePet(w http.ResponseWriter, r *http.Request, c identity.Claims) error {
	err := a.Store.Pets(c.Tenant).Delete(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
