package controlapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// setUp creates a tenant as an operator does and returns its one-time token.
func (w *world) setUp(slug string) string {
	w.tb.Helper()
	var created struct {
		Token string `json:"one_time_token"`
	}
	a := w.expect(201, w.do("POST", "/api/admin/tenants", `{"slug":"`+slug+`"}`, operator))
	if err := json.Unmarshal([]byte(a.body), &created); err != nil || created.Token == "" {
		w.tb.Fatalf("got %s, %v, expected a one-time token", a.body, err)
	}
	return created.Token
}

// administrator exchanges the one-time token for an API key, and returns a
// request's change as the gateway makes it for that key.
func (w *world) administrator(slug, setup string) func(*http.Request) {
	w.tb.Helper()
	a := w.expect(200, w.do("POST", "/api/token", `{"one_time_token":"`+setup+`"}`, w.as(slug)))
	var got struct{ Token string }
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || !auth.IsAPIKey(got.Token) {
		w.tb.Fatalf("got %s, %v, expected an API key", a.body, err)
	}
	keys, err := w.catalog.Keys(w.tb.Context(), tenant.MustSlug(slug))
	if err != nil || len(keys) != 1 || !slices.Equal(keys[0].Roles, []string{petstore.RoleAdmin}) || keys[0].Expires.IsZero() {
		w.tb.Fatalf("got keys %+v, %v, expected one of an administrator, with an end", keys, err)
	}
	return w.asUser(slug, keys[0].Name, keys[0].Roles...)
}

func TestConfigurationActsOnTheListingAtOnce(t *testing.T) {
	w := newWorld(t)
	admin := w.administrator("initech", w.setUp("initech"))
	for i := range 5 {
		w.addPet("initech", fmt.Sprint("Pet ", i))
	}
	put := func(key, value string) {
		w.expect(200, w.do("PUT", "/api/config/"+key, `{"value":`+value+`}`, admin))
	}
	first := w.list("initech", "").Pets[0]
	w.expect(204, w.do("DELETE", "/api/pets/"+first.ID, "", w.as("initech")))
	put("include_deleted_pets", "true")
	if l := w.list("initech", ""); len(l.Pets) != 6 || l.Pets[0].DeletedAt == nil {
		t.Errorf("with deleted pets: got %d, the first %+v", len(l.Pets), l.Pets[0])
	}
	w.expect(200, w.do("DELETE", "/api/config/include_deleted_pets", "", admin))
	put("page_size", "2")
	if l := w.list("initech", ""); len(l.Pets) != 2 || l.Next == "" {
		t.Errorf("with a page size of 2: got %d pets", len(l.Pets))
	}
	if l := w.list("initech", "?limit=4"); len(l.Pets) != 4 {
		t.Errorf("with a limit of its own: got %d pets", len(l.Pets))
	}
	put("allowed_species", `["dog"]`)
	if got := badFields(t, w.expect(400, w.do("POST", "/api/pets", `{"name":"Tom","species":"cat"}`, w.as("initech")))); got != "species" {
		t.Errorf("got fields %q", got)
	}
	cat := w.list("initech", "?species=cat").Pets[0]
	w.expect(200, w.do("PATCH", "/api/pets/"+cat.ID, `{"name":"Still a cat"}`, w.as("initech")))
	w.expect(400, w.do("PATCH", "/api/pets/"+cat.ID, `{"species":"bird"}`, w.as("initech")))
	all := w.expect(200, w.do("GET", "/api/config", "", admin)).body
	want := `{"config":[{"key":"allowed_species","value":["dog"]},{"key":"include_deleted_pets","value":false},{"key":"page_size","value":2}]}`
	if strings.TrimSpace(all) != want {
		t.Errorf("got %s, expected %s", all, want)
	}
	// Another tenant has its own.
	if l := w.list("acme", ""); len(l.Pets) != 0 {
		t.Errorf("got %v", l)
	}
	w.addPet("acme", "Tom")
}

func TestConfigurationIsTheTenantsAdministratorsOnly(t *testing.T) {
	w := newWorld(t)
	setup := w.setUp("initech")
	admin := w.administrator("initech", setup)
	w.expect(403, w.do("POST", "/api/token", `{"one_time_token":"`+setup+`"}`, w.as("initech")))
	for name, changes := range map[string][]func(*http.Request){
		"an editor":                  {w.as("initech")},
		"another case of the role":   {w.asUser("initech", "ann", "Admin")},
		"the one-time token":         {w.as("initech"), with("Authorization", "Bearer "+setup)},
		"the operator":               {w.as("initech"), operator},
		"a made-up role in a header": {w.as("initech"), with("X-Role", "admin")},
	} {
		if a := w.do("PUT", "/api/config/page_size", `{"value":3}`, changes...); a.status != 403 {
			t.Errorf("%s: got status %d, expected 403", name, a.status)
		}
	}
	w.expect(401, w.do("GET", "/api/config", "", w.asUser("initech", "")))
	w.expect(401, w.do("GET", "/api/config", "", w.as("acme"), admin)) // two identities
	w.expect(404, w.do("GET", "/api/config/colour", "", admin))
	w.expect(404, w.do("PUT", "/api/config/colour", `{"value":1}`, admin))
	if got := badFields(t, w.expect(400, w.do("PUT", "/api/config/page_size", `{"value":"x"}`, admin))); got != "value" {
		t.Errorf("got fields %q", got)
	}
}

func TestIdempotencyKeyRepeatsTheAnswer(t *testing.T) {
	w := newWorld(t)
	key := with("Idempotency-Key", `"abc"`)
	first := w.expect(201, w.do("POST", "/api/admin/tenants", `{"slug":"initech"}`, operator, key))
	again := w.expect(201, w.do("POST", "/api/admin/tenants", `{"slug":"initech"}`, operator, key))
	if first.body != again.body {
		t.Errorf("got %s, expected %s", again.body, first.body)
	}
	w.expect(422, w.do("POST", "/api/admin/tenants", `{"slug":"hooli"}`, operator, key))
	w.expect(409, w.do("POST", "/api/admin/tenants", `{"slug":"initech"}`, operator))
	for _, bad := range []string{"", "a\x00", strings.Repeat("k", 256)} {
		if got := badFields(t, w.expect(400, w.do("POST", "/api/admin/tenants", `{"slug":"hooli"}`, operator, with("Idempotency-Key", bad)))); got != "Idempotency-Key" {
			t.Errorf("key %q: got fields %q", bad, got)
		}
	}
}

func TestOperatorLeadsATenantThroughItsLife(t *testing.T) {
	w := newWorld(t)
	w.addPet("acme", "Tom")
	path := "/api/admin/tenants/acme"
	patch := func(status int, body string) answer { return w.expect(status, w.do("PATCH", path, body, operator)) }
	if a := w.expect(200, w.do("POST", path+"/move", `{"isolation":"database"}`, operator)); !strings.Contains(a.body, `"isolation":"database"`) {
		t.Errorf("got %s", a.body)
	}
	if l := w.list("acme", ""); len(l.Pets) != 1 {
		t.Errorf("after the move: got %v", l.Pets)
	}
	patch(200, `{"hosts":["shop.acme.example"]}`)
	if got := badFields(t, patch(400, `{"hosts":["a.example",7]}`)); got != "hosts[1]" {
		t.Errorf("got fields %q", got)
	}
	archive := w.expect(200, w.do("GET", path+"/export", "", operator))
	if archive.header.Get("Content-Type") != "application/gzip" || !strings.HasPrefix(archive.body, "\x1f\x8b") {
		t.Errorf("got %v", archive.header)
	}
	if a := patch(200, `{"status":"deactivated"}`); !strings.Contains(a.body, `"purge_at"`) {
		t.Errorf("got %s, expected when it is purged", a.body)
	}
	w.expect(404, w.do("GET", "/api/pets", "", w.as("acme")))
	w.expect(400, w.do("POST", path+"/purge", `{"confirm":"acne"}`, operator))
	w.expect(200, w.do("POST", path+"/purge", `{"confirm":"acme"}`, operator))
	w.expect(409, w.do("GET", path+"/export", "", operator))
	patch(409, `{"status":"active"}`)
	events := w.expect(200, w.do("GET", path+"/events", "", operator)).body
	for _, action := range []string{"tenant.create", "tenant.activate", "tenant.move", "tenant.change", "tenant.purge"} {
		if !strings.Contains(events, `"action":"`+action+`"`) {
			t.Errorf("the events lack %q: %s", action, events)
		}
	}
	w.expect(404, w.do("POST", "/api/admin/tenants/nobody/purge", `{"confirm":"nobody"}`, operator))
	w.expect(404, w.do("POST", "/api/admin/tenants/nobody/move", `{"isolation":"schema"}`, operator))
}

func TestOperatorGivesATenantBackendsOfItsOwn(t *testing.T) {
	w := newWorld(t)
	const path = "/api/admin/tenants/"
	upstreams := func(a answer) string {
		var got struct{ Upstreams []string }
		if err := json.Unmarshal([]byte(a.body), &got); err != nil || got.Upstreams == nil {
			t.Errorf("reading %s: %v", a.body, err)
		}
		return strings.Join(got.Upstreams, " ")
	}
	if got := upstreams(w.expect(201, w.do("POST", "/api/admin/tenants", `{"slug":"silo","upstreams":["10.0.0.1:9000"]}`, operator))); got != "10.0.0.1:9000" {
		t.Errorf("created with %q", got)
	}
	for _, test := range []struct{ body, want string }{
		{`{"upstreams":["10.0.0.2:9000","Silo.Example:80"]}`, "10.0.0.2:9000 silo.example:80"},
		{`{"name":"Silo"}`, "10.0.0.2:9000 silo.example:80"},
		{`{"upstreams":[]}`, ""},
		{`{"upstreams":["[::ffff:10.0.0.3]:80"]}`, "10.0.0.3:80"},
		{`{"upstreams":null}`, ""},
	} {
		if got := upstreams(w.expect(200, w.do("PATCH", path+"silo", test.body, operator))); got != test.want {
			t.Errorf("%s: got %q, expected %q", test.body, got, test.want)
		}
		if got := upstreams(w.expect(200, w.do("GET", path+"silo", "", operator))); got != test.want {
			t.Errorf("%s: then %q, expected %q", test.body, got, test.want)
		}
	}
	for body, field := range map[string]string{
		`{"upstreams":["10.0.0.1:9000","10.0.0.2"]}`: "upstreams[1]", `{"upstreams":["10.0.0.1:9000",7]}`: "upstreams[1]",
		`{"upstreams":"10.0.0.1:9000"}`: "upstreams", `{"upstreams":[` + strings.Repeat(`"x",`, 16) + `"x"]}`: "upstreams",
	} {
		if a := w.do("PATCH", path+"acme", body, operator); a.status != 400 || badFields(t, a) != field {
			t.Errorf("%s: got %d %s", body, a.status, a.body)
		}
	}
}

func TestAnUpstreamThatTheGatewayWouldNotDialIsRefused(t *testing.T) {
	w := newWorld(t)
	w.setUp("initech")
	for _, address := range []string{"127.0.0.1:2019", "[::1]:2019", "localhost:9000", "0.0.0.0:80", "169.254.169.254:80", "[::ffff:7f00:1]:80", "metadata.google.internal:80"} {
		t.Run(address, func(t *testing.T) {
			a := w.expect(400, w.do("PATCH", "/api/admin/tenants/initech", `{"upstreams":["10.0.0.1:80","`+address+`"]}`, operator))
			if !strings.Contains(a.body, "upstreams[1]") {
				t.Errorf("got %s, expected the place in the list", a.body)
			}
			w.expect(400, w.do("POST", "/api/admin/tenants", `{"slug":"hooli","upstreams":["`+address+`"]}`, operator))
		})
	}
}
