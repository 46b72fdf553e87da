package httpapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestPetLivesFromCreationToDeletion(t *testing.T) {
	w := newWorld(t)
	created := w.expect(201, w.do("POST", "/api/pets", `{"name":"Rex","species":"dog","breed":"Collie","tags":["good"],"birth_date":"2021-03-14"}`, w.as("acme")))
	p := created.pet(t)
	if got := created.header.Get("Location"); got != "/api/pets/"+p.ID {
		t.Errorf("got Location %q", got)
	}
	path := "/api/pets/" + p.ID
	if got := w.expect(200, w.do("GET", path, "", w.as("acme"))); got.body != created.body {
		t.Errorf("got %s, expected what was created: %s", got.body, created.body)
	}
	patched := w.expect(200, w.do("PATCH", path, `{"name":"Max","breed":null}`, w.as("acme"))).pet(t)
	if patched.Name != "Max" || patched.Breed != "" || patched.BirthDate != "2021-03-14" || len(patched.Tags) != 1 {
		t.Errorf("PATCH left %+v", patched)
	}
	replaced := w.expect(200, w.do("PUT", path, `{"name":"Tom","species":"cat"}`, w.as("acme"))).pet(t)
	if replaced.Name != "Tom" || replaced.BirthDate != "" || len(replaced.Tags) != 0 || !replaced.CreatedAt.Equal(p.CreatedAt) {
		t.Errorf("PUT left %+v", replaced)
	}
	w.expect(204, w.do("DELETE", path, "", w.as("acme")))
	w.expect(404, w.do("GET", path, "", w.as("acme")))
	w.expect(404, w.do("DELETE", path, "", w.as("acme")))
}

func TestLinksFollowTheGatewaysPrefixOnlyWhenItIsTheTenantsOwn(t *testing.T) {
	w := newWorld(t)
	for prefix, want := range map[string]string{"/acme": "/acme/api/pets/", "/globex": "/api/pets/", "//evil.example": "/api/pets/"} {
		a := w.expect(201, w.do("POST", "/api/pets", `{"name":"Rex","species":"dog"}`, w.as("acme"), with("X-Forwarded-Prefix", prefix)))
		if got := a.header.Get("Location"); got != want+a.pet(t).ID {
			t.Errorf("prefix %q: got Location %q", prefix, got)
		}
	}
}

func TestAnotherTenantsPetIsAnsweredLikeAMissingOne(t *testing.T) {
	w := newWorld(t)
	p := w.addPet("globex", "Tom")
	before := w.expect(200, w.do("GET", "/api/pets/"+p.ID, "", w.as("globex"))).body
	for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
		body := ""
		if method == "PUT" || method == "PATCH" {
			body = `{"name":"Stolen","species":"cat"}`
		}
		foreign := w.expect(404, w.do(method, "/api/pets/"+p.ID, body, w.as("acme")))
		missing := w.expect(404, w.do(method, "/api/pets/00000000000000000000000000", body, w.as("acme")))
		malformed := w.expect(404, w.do(method, "/api/pets/NOT-AN-ID", body, w.as("acme")))
		for _, a := range []*answer{&foreign, &missing, &malformed} {
			a.header.Del("X-Request-Id")
		}
		if fmt.Sprint(foreign) != fmt.Sprint(missing) || fmt.Sprint(foreign) != fmt.Sprint(malformed) {
			t.Errorf("%s tells a foreign pet %v from a missing %v or malformed one %v", method, foreign, missing, malformed)
		}
	}
	if after := w.expect(200, w.do("GET", "/api/pets/"+p.ID, "", w.as("globex"))).body; after != before {
		t.Errorf("the pet changed from %s to %s", before, after)
	}
}

type listing struct {
	Pets []petJSON `json:"pets"`
	Next string    `json:"next_cursor"`
}

func (w *world) list(slug, query string) listing {
	w.tb.Helper()
	var l listing
	a := w.expect(200, w.do("GET", "/api/pets"+query, "", w.as(slug)))
	if err := json.Unmarshal([]byte(a.body), &l); err != nil {
		w.tb.Fatal(err)
	}
	return l
}

func TestCursorsLeadThroughTheWholeListing(t *testing.T) {
	w := newWorld(t)
	for i := range 7 {
		w.addPet("acme", fmt.Sprint("Pet ", i))
		w.addPet("globex", "Other")
	}
	seen := map[string]bool{}
	query := "?limit=3"
	for pages := 1; ; pages++ {
		l := w.list("acme", query)
		for _, p := range l.Pets {
			if seen[p.ID] || !strings.HasPrefix(p.Name, "Pet ") {
				t.Errorf("page %d shows %+v", pages, p)
			}
			seen[p.ID] = true
		}
		if l.Next == "" {
			break
		}
		query = "?limit=3&cursor=" + l.Next
	}
	if len(seen) != 7 {
		t.Errorf("got %d pets, expected 7", len(seen))
	}
}

func TestCursorIsGoodForOneTenantAndOneFilter(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.addPet("acme", "Rex")
		w.addPet("globex", "Tom")
	}
	next := w.list("acme", "?limit=1").Next
	use := func(slug, query string) string {
		return fields(t, w.expect(400, w.do("GET", "/api/pets?limit=1&cursor="+query, "", w.as(slug))))
	}
	if got := use("globex", next); got != "cursor" {
		t.Errorf("another tenant's cursor: got fields %q", got)
	}
	if got := use("acme", next+"&species=cat"); got != "cursor" {
		t.Errorf("another filter's cursor: got fields %q", got)
	}
	for i := range next {
		changed := []byte(next)
		changed[i] ^= 1
		if changed[i] == '&' || changed[i] == '%' || changed[i] == '+' || changed[i] == '#' || changed[i] == ';' {
			continue
		}
		if got := use("acme", string(changed)); got != "cursor" {
			t.Errorf("byte %d changed: got fields %q", i, got)
		}
	}
	for _, q := range []string{"?limit=0", "?limit=101", "?limit=x", "?limit=1&limit=2"} {
		if got := fields(t, w.expect(400, w.do("GET", "/api/pets"+q, "", w.as("acme")))); got != "limit" {
			t.Errorf("%s: got fields %q", q, got)
		}
	}
}

func TestTenantNamedInTheQueryIsNeverUsed(t *testing.T) {
	w := newWorld(t)
	w.addPet("globex", "Tom")
	if l := w.list("acme", "?tenant_id=globex&tenant=globex&X-Tenant-ID=globex"); len(l.Pets) != 0 {
		t.Errorf("got %+v, expected no pets", l.Pets)
	}
}

func TestListingCanBeNarrowedToASpecies(t *testing.T) {
	w := newWorld(t)
	w.addPet("acme", "Tom")
	w.expect(201, w.do("POST", "/api/pets", `{"name":"Rex","species":"dog"}`, w.as("acme")))
	if l := w.list("acme", "?species=dog"); len(l.Pets) != 1 || l.Pets[0].Name != "Rex" {
		t.Errorf("got %+v, expected the dog", l.Pets)
	}
}
