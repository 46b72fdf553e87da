package controlapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func (a answer) host(t *testing.T) hostJSON {
	t.Helper()
	var h hostJSON
	if err := json.Unmarshal([]byte(a.body), &h); err != nil {
		t.Fatalf("reading %q: %v", a.body, err)
	}
	return h
}

func TestTheOperatorAddsListsAndRemovesADomain(t *testing.T) {
	w := newWorld(t)
	const path = "/api/admin/tenants/acme/hosts"
	h := w.expect(http.StatusCreated, w.do("POST", path, `{"host":"Pets.Customer.example"}`, operator)).host(t)
	if h.Host != "pets.customer.example" || h.State != "pending" || len(h.Records) != 2 {
		t.Fatalf("%+v", h)
	}
	if txt := h.Records[0]; txt.Type != "TXT" || txt.Name != "_caddy-tenancy-challenge.pets.customer.example" || !strings.HasPrefix(txt.Value, "tenancy-") {
		t.Errorf("%+v", txt)
	}
	if cname := h.Records[1]; cname.Type != "CNAME" || cname.Name != h.Host || cname.Value == "" {
		t.Errorf("%+v", cname)
	}
	if again := w.expect(http.StatusOK, w.do("POST", path, `{"host":"pets.customer.example"}`, operator)).host(t); again.Records[0] != h.Records[0] {
		t.Errorf("a second claim: %+v", again)
	}
	if list := w.expect(http.StatusOK, w.do("GET", path, "", operator)).body; !strings.Contains(list, h.Records[0].Value) {
		t.Errorf("list: %s", list)
	}
	if list := w.expect(http.StatusOK, w.do("GET", "/api/admin/tenants/globex/hosts", "", operator)).body; list != `{"hosts":[]}`+"\n" {
		t.Errorf("another tenant's list: %s", list)
	}
	w.expect(http.StatusNotFound, w.do("DELETE", "/api/admin/tenants/globex/hosts/pets.customer.example", "", operator))
	w.expect(http.StatusNoContent, w.do("DELETE", path+"/pets.customer.example", "", operator))
	w.expect(http.StatusNotFound, w.do("DELETE", path+"/pets.customer.example", "", operator))
	w.expect(http.StatusNotFound, w.do("DELETE", path+"/%2e%2e", "", operator))

	w.expect(http.StatusBadRequest, w.do("POST", path, `{"host":"127.0.0.1"}`, operator))
	w.expect(http.StatusBadRequest, w.do("POST", path, `{"host":"a.example.org","verified":true}`, operator))
	w.expect(http.StatusNotFound, w.do("POST", "/api/admin/tenants/nobody/hosts", `{"host":"a.example.org"}`, operator))
	w.expect(http.StatusUnauthorized, w.do("POST", path, `{"host":"a.example.org"}`))
	w.expect(http.StatusUnauthorized, w.do("GET", path, ""))
	w.expect(http.StatusMethodNotAllowed, w.do("PUT", path, `{}`, operator))
}

func TestATenantsAdministratorManagesItsOwnDomainsOnly(t *testing.T) {
	w := newWorld(t)
	admin := func(slug string) func(*http.Request) {
		token, err := w.signer.SignUser(&tenant.Tenant{ID: "id-" + slug, Slug: tenant.MustSlug(slug), Plan: "free", Status: tenant.Active}, "u1", []string{"admin"}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return with(identity.HeaderName, token)
	}
	w.expect(http.StatusForbidden, w.do("POST", "/api/hosts", `{"host":"pets.customer.example"}`, w.as("acme")))
	w.expect(http.StatusUnauthorized, w.do("GET", "/api/hosts", ""))
	w.expect(http.StatusCreated, w.do("POST", "/api/hosts", `{"host":"pets.customer.example"}`, admin("acme")))
	if list := w.expect(http.StatusOK, w.do("GET", "/api/hosts", "", admin("globex"))).body; list != `{"hosts":[]}`+"\n" {
		t.Errorf("another tenant's list: %s", list)
	}
	w.expect(http.StatusNotFound, w.do("DELETE", "/api/hosts/pets.customer.example", "", admin("globex")))
	w.expect(http.StatusNoContent, w.do("DELETE", "/api/hosts/pets.customer.example", "", admin("acme")))

	// A host of another tenant is like any other to a tenant, and a conflict to
	// the operator.
	w.expect(http.StatusOK, w.do("PATCH", "/api/admin/tenants/globex", `{"hosts":["shop.customer.example"]}`, operator))
	w.expect(http.StatusConflict, w.do("POST", "/api/admin/tenants/acme/hosts", `{"host":"shop.customer.example"}`, operator))
	if h := w.expect(http.StatusCreated, w.do("POST", "/api/hosts", `{"host":"shop.customer.example"}`, admin("acme"))).host(t); h.State != "pending" || h.Problem != "" {
		t.Errorf("%+v", h)
	}
	w.expect(http.StatusNoContent, w.do("DELETE", "/api/hosts/shop.customer.example", "", admin("globex")))
}
