package attacks

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

type pets struct {
	Pets       []struct{ ID string } `json:"pets"`
	Items      []struct{ ID string } `json:"items"`
	NextCursor string                `json:"next_cursor"`
	Next       string                `json:"next"`
}

// list returns a tenant's first pet and a cursor behind it.
func list(t testing.TB, s *harness.Stack, slug string) (id, cursor string) {
	t.Helper()
	res := s.Get(slug, "/api/pets?limit=1")
	var p pets
	if err := json.Unmarshal([]byte(res.Body), &p); err != nil || res.Status != http.StatusOK {
		t.Fatalf("%s: %d %s", slug, res.Status, res.Body)
	}
	p.Pets = append(p.Pets, p.Items...)
	if len(p.Pets) != 1 || p.NextCursor+p.Next == "" {
		t.Fatalf("%s: want one pet and a cursor: %s", slug, res.Body)
	}
	return p.Pets[0].ID, p.NextCursor + p.Next
}

func TestAnotherTenantsPetsAreNotThere(t *testing.T) {
	s := harness.StartStack(t, harness.Options{Caddyfile: roomy(t)})
	mine, cursor := list(t, s, acme)
	theirs, foreign := list(t, s, fluffy)
	if res := s.Get(acme, "/api/pets/"+mine); res.Status != http.StatusOK {
		t.Fatalf("the tenant's own pet: %d %s", res.Status, res.Body)
	}
	missing := flip(theirs)
	for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE"} {
		body := ""
		if method == "PUT" || method == "PATCH" {
			body = `{"name":"Mine now","species":"cat"}`
		}
		a := s.Do(harness.Request{Method: method, Host: harness.Host(acme), Path: "/api/pets/" + theirs, Body: body})
		b := s.Do(harness.Request{Method: method, Host: harness.Host(acme), Path: "/api/pets/" + missing, Body: body})
		if a.Status < 400 || a.Status != b.Status || a.Body != b.Body {
			t.Errorf("%s: another tenant's pet: %d %s; one that does not exist: %d %s", method, a.Status, a.Body, b.Status, b.Body)
		}
	}
	if res := s.Get(fluffy, "/api/pets/"+theirs); res.Status != http.StatusOK || strings.Contains(res.Body, "Mine now") {
		t.Errorf("afterwards the pet is %d %s", res.Status, res.Body)
	}
	if res := s.Get(acme, "/api/pets?cursor="+url.QueryEscape(cursor)); res.Status != http.StatusOK {
		t.Errorf("the tenant's own cursor: %d %s", res.Status, res.Body)
	}
	for name, c := range map[string]string{"another tenant's": foreign, "changed by one byte": flip(cursor), "made up": "AAAA", "empty": "%00"} {
		if res := s.Get(acme, "/api/pets?cursor="+url.QueryEscape(c)); res.Status != http.StatusBadRequest {
			t.Errorf("%s cursor: %d %s, want 400", name, res.Status, res.Body)
		}
	}
	for _, query := range []string{"?tenant_id=" + fluffy, "?tenant=" + fluffy, "?species=' OR '1'='1", "?species=%00"} {
		res := s.Get(acme, "/api/pets"+strings.ReplaceAll(query, " ", "%20"))
		if strings.Contains(res.Body, theirs) || res.Status >= 500 {
			t.Errorf("%s: %d %s", query, res.Status, res.Body)
		}
	}
	for _, path := range []string{"/api/admin/tenants", "/api/%61dmin/tenants", "/api//admin/tenants", "/api/admin//tenants", "/API/ADMIN/tenants", "/api/./admin/tenants", "/api/x/../admin/tenants", "/api/admin%2ftenants", "/metrics"} {
		res := s.Do(harness.Request{Host: harness.Host(acme), Path: path, Header: http.Header{"X-Admin": {"1"}}})
		if res.Status < 300 || strings.Contains(res.Body, fluffy) {
			t.Errorf("%s on a tenant's host: %d %s", path, res.Status, res.Body)
		}
	}
}

// flip changes one character in the middle to another of the same kind.
func flip(s string) string {
	i := len(s) / 2
	c := byte('2')
	if s[i] == c {
		c = '3'
	}
	return s[:i] + string(c) + s[i+1:]
}
