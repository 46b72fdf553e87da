package controlapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func TestTenantThatIsNotActiveIsAnsweredLikeAnUnknownOne(t *testing.T) {
	w := newWorld(t)
	w.expect(200, w.do("GET", "/api/pets", "", w.as("globex")))
	w.expect(200, w.do("PATCH", "/api/admin/tenants/globex", `{"status":"suspended"}`, operator))
	suspended := w.expect(404, w.do("GET", "/api/pets", "", w.as("globex")))
	unknown := w.expect(404, w.do("GET", "/api/pets", "", w.as("nobody")))
	suspended.header.Del("X-Request-Id")
	unknown.header.Del("X-Request-Id")
	if fmt.Sprint(suspended) != fmt.Sprint(unknown) {
		t.Errorf("suspended %v can be told from unknown %v", suspended, unknown)
	}
	w.expect(200, w.do("PATCH", "/api/admin/tenants/globex", `{"status":"active"}`, operator))
	w.expect(200, w.do("GET", "/api/pets", "", w.as("globex")))
}

func TestOperatorsRoutesDoNotExistOnATenantsSite(t *testing.T) {
	w := newWorld(t)
	missing := w.expect(404, w.do("GET", "/nowhere", "", w.as("acme")))
	missing.header.Del("X-Request-Id")
	for _, target := range []string{"/api/admin/tenants", "/api/admin/tenants/acme", "/api/admin/", "/api/admin/nothing", "/metrics"} {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			for _, value := range []string{w.identityOf("acme"), "", "garbage"} {
				a := w.expect(404, w.do(method, target, "", operator, with(identity.HeaderName, value)))
				a.header.Del("X-Request-Id")
				if fmt.Sprint(a) != fmt.Sprint(missing) {
					t.Errorf("%s %s can be told from a missing resource: %v", method, target, a)
				}
			}
		}
	}
}

func TestOperatorsRoutesNeedTheCredential(t *testing.T) {
	w := newWorld(t)
	for _, value := range []string{"", "Bearer", "Bearer ", "Bearer wrong", "Basic " + testAdminToken, testAdminToken, "Bearer  " + testAdminToken} {
		a := w.do("GET", "/api/admin/tenants", "", with("Authorization", value))
		if w.expect(401, a); a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("Authorization %q: no WWW-Authenticate", value)
		}
	}
	w.expect(401, w.do("GET", "/api/admin/tenants", "", operator, with("Authorization", "x")))
	w.expect(200, w.do("GET", "/api/admin/tenants", "", with("Authorization", "bEARER "+testAdminToken)))
}

func TestTenantsAreCreatedByTheRules(t *testing.T) {
	w := newWorld(t)
	create := func(body string) answer { return w.do("POST", "/api/admin/tenants", body, operator) }
	created := w.expect(201, create(`{"slug":"initech","name":"Initech","plan":"premium"}`))
	for _, part := range []string{`"slug":"initech"`, `"plan":"premium"`, `"status":"active"`, `"https://initech.example/`} {
		if !strings.Contains(created.body, part) {
			t.Errorf("the answer %s lacks %s", created.body, part)
		}
	}
	w.addPet("initech", "Milton")
	for _, body := range []string{`{"slug":"initech"}`, `{"slug":"1nitech"}`, `{"slug":"lnitech"}`} {
		w.expect(409, create(body))
	}
	for body, want := range map[string]string{
		`{"slug":"www"}`: "slug", `{"slug":"adm1n"}`: "slug", `{"slug":"Acme2"}`: "slug", `{"slug":"xn--acme"}`: "slug",
		`{"slug":"a'--"}`: "slug", `{"slug":"../x"}`: "slug", `{"slug":"con"}`: "slug", `{"slug":"acme\"; DROP SCHEMA"}`: "slug",
		`{"slug":"main"}`: "slug", `{"slug":"pg_catalog"}`: "slug", `{}`: "slug", `{"slug":"` + strings.Repeat("a", 64) + `"}`: "slug",
		`{"slug":"ok-1","plan":"gold"}`: "plan", `{"slug":"ok-2","name":"a\nb"}`: "name", `{"slug":"ok-3","id":"x"}`: "id",
		`{"slug":"ok-4","status":"active"}`: "status", `{"slug":"ok-5","isolation":"none"}`: "isolation",
	} {
		if got := badFields(t, w.expect(400, create(body))); got != want {
			t.Errorf("%s: got fields %q, expected %q", body, got, want)
		}
	}
}

func TestTwoCreationsOfOneSlugHaveOneWinner(t *testing.T) {
	w := newWorld(t)
	const rivals = 40
	statuses := make(chan int, rivals)
	for range rivals {
		go func() {
			statuses <- w.do("POST", "/api/admin/tenants", `{"slug":"contested"}`, operator).status
		}()
	}
	got := map[int]int{}
	for range rivals {
		got[<-statuses]++
	}
	if got[201] != 1 || got[409] != rivals-1 {
		t.Errorf("got statuses %v, expected one 201 and %d 409", got, rivals-1)
	}
}

func TestPatchOfATenantIsAllOrNothing(t *testing.T) {
	w := newWorld(t)
	before := w.expect(200, w.do("GET", "/api/admin/tenants/acme", "", operator)).body
	for body, want := range map[string]string{
		`{"plan":"premium","name":""}`: "name", `{"plan":"gold"}`: "plan", `{"status":"gone"}`: "status",
		`{"limits":"many"}`: "limits", `{"slug":"other"}`: "slug", `{"id":"x"}`: "id",
	} {
		if got := badFields(t, w.expect(400, w.do("PATCH", "/api/admin/tenants/acme", body, operator))); got != want {
			t.Errorf("%s: got fields %q, expected %q", body, got, want)
		}
	}
	w.expect(409, w.do("PATCH", "/api/admin/tenants/acme", `{"plan":"premium","status":"purged"}`, operator))
	w.expect(409, w.do("PATCH", "/api/admin/tenants/acme", `{"plan":"premium","status":"provisioning"}`, operator))
	if after := w.expect(200, w.do("GET", "/api/admin/tenants/acme", "", operator)).body; after != before {
		t.Errorf("a refused patch changed %s to %s", before, after)
	}
	w.expect(404, w.do("PATCH", "/api/admin/tenants/nobody", `{"plan":"premium"}`, operator))
	w.expect(404, w.do("GET", "/api/admin/tenants/NO..BODY", "", operator))
	a := w.expect(200, w.do("PATCH", "/api/admin/tenants/acme", `{"plan":"premium","limits":"200/1h 10/1s"}`, operator))
	if !strings.Contains(a.body, `"plan":"premium"`) || !strings.Contains(a.body, `"limits":"200/1h 10/1s"`) {
		t.Errorf("got %s", a.body)
	}
	got, err := w.catalog.Get(t.Context(), tenant.MustSlug("acme"))
	if err != nil || got.Plan != "premium" {
		t.Errorf("the catalog has %+v, %v", got, err)
	}
}

func TestATenantThatTheGatewayKnowsFirstIsServed(t *testing.T) {
	w := newWorld(t)
	// Another process makes the tenant; this one's directory has not looked since.
	if _, err := w.catalog.Create(t.Context(), control.New{Slug: "initech", NoSamplePet: true}, ""); err != nil {
		t.Fatal(err)
	}
	a := w.do(http.MethodGet, "/api/pets", "", func(r *http.Request) { r.Header.Set(identity.HeaderName, w.identityOf("initech")) })
	if a.status != http.StatusOK {
		t.Errorf("got %d: %s", a.status, a.body)
	}
}
