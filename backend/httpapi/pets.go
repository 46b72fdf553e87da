package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
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
func petFields(p *petstore.Pet) map[string]Field {
	return map[string]Field{
		"name": Text(&p.Name), "species": Text(&p.Species), "breed": OptionalText(&p.Breed),
		"tags": Texts("tags", &p.Tags), "birth_date": OptionalText(&p.BirthDate), "microchip_id": OptionalText(&p.MicrochipID),
	}
}

func (a *API) listPets(w http.ResponseWriter, r *http.Request, c Caller) error {
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return BadField("query", "expected well-formed parameters")
	}
	for _, name := range []string{"species", "limit", "cursor"} {
		if len(params[name]) > 1 {
			return BadField(name, "expected one value")
		}
	}
	q := petstore.Query{Species: params.Get("species"), Limit: c.Config.PageSize, WithDeleted: c.Config.IncludeDeletedPets}
	if s := params.Get("limit"); s != "" {
		if q.Limit, err = strconv.Atoi(s); err != nil || q.Limit < 1 || q.Limit > petstore.MaxPage {
			return BadField("limit", "expected 1 to "+strconv.Itoa(petstore.MaxPage))
		}
	}
	if s := params.Get("cursor"); s != "" {
		after, ok := a.cursors.open(c.Tenant, q.Species, s)
		if !ok {
			return BadField("cursor", "expected a cursor of this listing")
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
	return WriteJSON(w, http.StatusOK, out)
}

func (a *API) createPet(w http.ResponseWriter, r *http.Request, c Caller) error {
	var p petstore.Pet
	if err := ReadObject(w, r, petFields(&p)); err != nil {
		return err
	}
	if err := allowed(c.Config, p.Species); err != nil {
		return err
	}
	p, err := a.Store.Pets(c.Tenant).Create(r.Context(), p)
	if err != nil {
		return err
	}
	w.Header().Set("Location", prefix(r, c)+"/api/pets/"+p.ID)
	return WriteJSON(w, http.StatusCreated, toJSON(p))
}

// prefix is where the gateway put the tenant in the path, if it did. Nothing
// but the verified tenant's own name is believed.
func prefix(r *http.Request, c Caller) string {
	if own := "/" + c.Tenant.String(); r.Header.Get("X-Forwarded-Prefix") == own {
		return own
	}
	return ""
}

func (a *API) getPet(w http.ResponseWriter, r *http.Request, c Caller) error {
	p, err := a.Store.Pets(c.Tenant).Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return WriteJSON(w, http.StatusOK, toJSON(p))
}

func (a *API) replacePet(w http.ResponseWriter, r *http.Request, c Caller) error {
	var given petstore.Pet
	if err := ReadObject(w, r, petFields(&given)); err != nil {
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
func (a *API) patchPet(w http.ResponseWriter, r *http.Request, c Caller) error {
	var scratch petstore.Pet
	patch := map[string]json.RawMessage{}
	fields := petFields(&scratch)
	for name, set := range fields {
		fields[name] = func(raw json.RawMessage) error {
			patch[name] = raw
			return set(raw)
		}
	}
	if err := ReadObject(w, r, fields); err != nil {
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

func (a *API) changePet(w http.ResponseWriter, r *http.Request, c Caller, change func(*petstore.Pet) error) error {
	p, err := a.Store.Pets(c.Tenant).Change(r.Context(), r.PathValue("id"), func(p *petstore.Pet) error {
		before := p.Species
		if err := change(p); err != nil || p.Species == before {
			return err
		}
		return allowed(c.Config, p.Species)
	})
	if err != nil {
		return err
	}
	return WriteJSON(w, http.StatusOK, toJSON(p))
}

func (a *API) deletePet(w http.ResponseWriter, r *http.Request, c Caller) error {
	err := a.Store.Pets(c.Tenant).Delete(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// allowed refuses a species that the tenant's configuration leaves out.
func allowed(c petstore.Config, species string) error {
	if len(c.AllowedSpecies) == 0 || slices.Contains(c.AllowedSpecies, species) {
		return nil
	}
	return BadField("species", "expected one of "+strings.Join(c.AllowedSpecies, ", "))
}
