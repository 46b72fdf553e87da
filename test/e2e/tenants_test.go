// Package e2e talks to the two built binaries, run from the repository's own
// Caddyfile, as a client would.
package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// inForce is how long a change of the catalog may take to reach the gateway.
// It is meant to be a second; the rest is for busy machines.
const inForce = 20 * time.Second

// pets returns the names in a list of pets.
func pets(t *testing.T, res *harness.Response) []string {
	t.Helper()
	var list struct {
		Pets []struct{ ID, Name string }
	}
	if err := json.Unmarshal([]byte(res.Body), &list); err != nil || res.Status != http.StatusOK {
		t.Fatalf("reading a list of pets: status %d, %v\n%s", res.Status, err, res.Body)
	}
	var names []string
	for _, p := range list.Pets {
		names = append(names, p.Name)
	}
	return names
}

// createTenant adds a tenant by the admin interface and waits until the
// gateway serves it.
func createTenant(t *testing.T, s *harness.Stack, slug, plan string) {
	t.Helper()
	res := s.Control(http.MethodPost, "/api/admin/tenants", fmt.Sprintf(`{"slug":%q,"name":"A shop","plan":%q}`, slug, plan))
	if res.Status != http.StatusCreated {
		t.Fatalf("creating tenant %q: status %d\n%s", slug, res.Status, res.Body)
	}
	harness.Eventually(t, inForce, "tenant "+slug+" to be served", func() bool {
		return s.Get(slug, "/api/pets").Status == http.StatusOK
	})
}

func patchTenant(t *testing.T, s *harness.Stack, slug, change string) {
	t.Helper()
	if res := s.Control(http.MethodPatch, "/api/admin/tenants/"+slug, change); res.Status != http.StatusOK {
		t.Fatalf("changing tenant %q by %s: status %d\n%s", slug, change, res.Status, res.Body)
	}
}

// refusedByGateway tells the gateway's 404 from the backend's, which knows of a
// suspension at once: only requests that have a tenant are counted.
func refusedByGateway(r *harness.Response) bool {
	return r.Status == http.StatusNotFound && r.Header.Get("X-RateLimit-Limit") == ""
}

func TestEachTenantSeesItsOwnPetsOnly(t *testing.T) {
	s := harness.StartStack(t, harness.Options{})
	change := harness.Request{Method: http.MethodPost, Host: harness.Host(harness.Acme), Path: "/api/pets", Body: `{"name":"Only Acme's","species":"cat"}`}
	if res := s.Do(change); res.Status != http.StatusUnauthorized {
		t.Errorf("creating a pet without a token: status %d\n%s", res.Status, res.Body)
	}
	change.Header = http.Header{"Authorization": {"Bearer " + s.Token(harness.Fluffy, "editor")}}
	if res := s.Do(change); !refusedByGateway(res) {
		t.Errorf("creating a pet with another tenant's token: status %d\n%s", res.Status, res.Body)
	}
	change.Header = http.Header{"Authorization": {"Bearer " + s.Token(harness.Acme, "editor")}}
	acme := s.Do(change)
	if acme.Status != http.StatusCreated {
		t.Fatalf("creating a pet: status %d\n%s", acme.Status, acme.Body)
	}
	seen := make(map[string]string)
	for _, slug := range []string{harness.Acme, harness.Fluffy, harness.Paws} {
		names := pets(t, s.Get(slug, "/api/pets"))
		if len(names) < 2 {
			t.Errorf("tenant %q has pets %q; want a few from the demo", slug, names)
		}
		if has := strings.Contains(strings.Join(names, ","), "Only Acme's"); has != (slug == harness.Acme) {
			t.Errorf("tenant %q sees pets %q", slug, names)
		}
		seen[slug] = strings.Join(names, ",")
	}
	if len(seen) != 3 || seen[harness.Acme] == seen[harness.Fluffy] || seen[harness.Fluffy] == seen[harness.Paws] {
		t.Errorf("tenants share pets: %q", seen)
	}
	var created struct{ ID string }
	if err := json.Unmarshal([]byte(acme.Body), &created); err != nil || created.ID == "" {
		t.Fatalf("reading the created pet: %v\n%s", err, acme.Body)
	}
	foreign, missing := s.Get(harness.Fluffy, "/api/pets/"+created.ID), s.Get(harness.Fluffy, "/api/pets/06h0k2p6w4wjvn9078w0s4er5r")
	if foreign.Status != http.StatusNotFound || foreign.Body != missing.Body {
		t.Errorf("another tenant's pet: %d %q; a missing one: %d %q; want the same 404", foreign.Status, foreign.Body, missing.Status, missing.Body)
	}
}

// What an outsider gets must not tell whether a tenant exists.
func TestEveryTenantThatIsNotServedGetsTheSameAnswer(t *testing.T) {
	s := harness.StartStack(t, harness.Options{Caddyfile: func(text string) string {
		// The repository's file names tenants by host alone; a second way makes
		// conflicts possible. Without TLS any host can be asked for: with it, most
		// of these would fail before there is a request.
		return harness.Edit(t, text,
			"tenant host petstore.localhost\n", "tenant {\n\t\thost petstore.localhost\n\t\theader X-Tenant-ID\n\t}\n",
			"redir https://{host}:{$HTTPS_PORT:8443}{uri} 308\n", "import gateway\n")
	}})
	createTenant(t, s, "sleepy-paws", "free")
	patchTenant(t, s, "sleepy-paws", `{"status":"suspended"}`)
	harness.Eventually(t, inForce, "the suspended tenant to be refused", func() bool {
		return refusedByGateway(s.Get("sleepy-paws", "/api/pets"))
	})

	ask := func(host string, tenants ...string) *harness.Response {
		headers := []string{"Host", host}
		for _, tenant := range tenants {
			headers = append(headers, "X-Tenant-ID", tenant)
		}
		res := s.Plain(http.MethodGet, s.HTTP, "/api/pets", "", headers...)
		res.Header.Del("Date")
		return res
	}
	if res := ask(harness.Host(harness.Acme), harness.Acme); res.Status != http.StatusOK {
		t.Fatalf("two ways that agree: status %d; want 200\n%s", res.Status, res.Body)
	}
	want := ask(harness.Host("no-such-shop"))
	if want.Status != http.StatusNotFound || want.Header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("unknown tenant: status %d, %v\n%s", want.Status, want.Header, want.Body)
	}
	for name, got := range map[string]*harness.Response{
		"suspended":          ask(harness.Host("sleepy-paws")),
		"malformed":          ask(harness.Host("-acme-pets")),
		"too deep":           ask("x." + harness.Host(harness.Acme)),
		"reserved":           ask(harness.Host("admin")),
		"missing":            ask(harness.Domain),
		"foreign domain":     ask("acme-pets.example.com"),
		"an address":         ask("127.0.0.1"),
		"conflicting":        ask(harness.Host(harness.Acme), harness.Fluffy),
		"named twice":        ask(harness.Host(harness.Acme), harness.Acme, harness.Acme),
		"conflict, unknown":  ask(harness.Host("no-such-shop"), harness.Fluffy),
		"unknown, other way": ask(harness.Host(harness.Acme), "no-such-shop"),
	} {
		if got.Status != want.Status || got.Body != want.Body || !maps.EqualFunc(got.Header, want.Header, equalValues) {
			t.Errorf("%s:\n%d %v %q\nunlike unknown:\n%d %v %q", name, got.Status, got.Header, got.Body, want.Status, want.Header, want.Body)
		}
	}

	// And as most clients see it.
	unknown, suspended := s.Get("no-such-shop", "/api/pets"), s.Get("sleepy-paws", "/api/pets")
	unknown.Header.Del("Date")
	suspended.Header.Del("Date")
	if suspended.Status != unknown.Status || suspended.Body != unknown.Body || !maps.EqualFunc(suspended.Header, unknown.Header, equalValues) {
		t.Errorf("over TLS a suspended tenant gets\n%v\nand an unknown one\n%v", suspended, unknown)
	}
}

func equalValues(a, b []string) bool { return strings.Join(a, "\x00") == strings.Join(b, "\x00") }

func TestTenantIsServedAndSuspendedWithoutAReload(t *testing.T) {
	s := harness.StartStack(t, harness.Options{})
	if res := s.Get("new-shop", "/api/pets"); res.Status != http.StatusNotFound {
		t.Fatalf("before: status %d; want 404", res.Status)
	}
	start := time.Now()
	createTenant(t, s, "new-shop", "basic")
	t.Logf("served after %s", time.Since(start))
	if res := s.Get("new-shop", "/api/pets"); res.Header.Get("X-RateLimit-Limit") != "1000" {
		t.Errorf("the new tenant's limit is %q; want that of its plan, 1000", res.Header.Get("X-RateLimit-Limit"))
	}
	for _, step := range []struct {
		change  string
		inForce func(*harness.Response) bool
	}{
		{`{"status":"suspended"}`, refusedByGateway},
		{`{"status":"active"}`, func(r *harness.Response) bool { return r.Status == http.StatusOK }},
	} {
		start := time.Now()
		patchTenant(t, s, "new-shop", step.change)
		harness.Eventually(t, inForce, step.change+" to be in force", func() bool { return step.inForce(s.Get("new-shop", "/api/pets")) })
		t.Logf("%s in force after %s", step.change, time.Since(start))
	}
	patchTenant(t, s, "new-shop", `{"plan":"premium"}`)
	harness.Eventually(t, inForce, "the new plan to be in force", func() bool {
		return s.Get("new-shop", "/api/pets").Header.Get("X-RateLimit-Limit") == "10000"
	})
	if n := strings.Count(s.Gateway.Log(), "adapted config"); n != 1 {
		t.Errorf("the gateway has read its configuration %d times; want once", n)
	}
}
