package resolve_test

import (
	"bufio"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// directory is a fixed [tenant.Lookup].
type directory struct {
	slugs map[tenant.Slug]*tenant.Tenant
	hosts map[string]*tenant.Tenant
}

func (d *directory) BySlug(s tenant.Slug) *tenant.Tenant { return d.slugs[s] }
func (d *directory) ByHost(h string) *tenant.Tenant      { return d.hosts[h] }

var tenants = func() *directory {
	d := &directory{map[tenant.Slug]*tenant.Tenant{}, map[string]*tenant.Tenant{}}
	for _, t := range []*tenant.Tenant{
		{ID: "t1", Slug: tenant.MustSlug("acme-pets"), Status: tenant.Active, Hosts: []string{"pets.acme.example"}},
		{ID: "t2", Slug: tenant.MustSlug("fluffy-friends"), Status: tenant.Active},
		{ID: "t3", Slug: tenant.MustSlug("sleepy-cats"), Status: tenant.Suspended, Hosts: []string{"sleepy.example"}},
		// A record cannot take a name of the platform's, whatever it says.
		{ID: "t4", Slug: tenant.MustSlug("squatter"), Status: tenant.Active, Hosts: []string{"petstore.localhost", "a.b.petstore.localhost", "www.petstore.localhost"}},
	} {
		d.slugs[t.Slug] = t
		for _, h := range t.Hosts {
			d.hosts[h] = t
		}
	}
	return d
}()

// request reads a request as the server does, so that what Go refuses or rewrites
// on the way in is refused or rewritten here.
func request(t testing.TB, target, host string, headers ...string) *http.Request {
	t.Helper()
	raw := "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n"
	for _, h := range headers {
		raw += h + "\r\n"
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw + "\r\n")))
	if err != nil {
		t.Fatalf("reading request for %q: %v", target, err)
	}
	return r
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var (
	byHost   = must(resolve.NewHost("petstore.localhost"))
	byPath   = resolve.NewPath(false)
	byHeader = must(resolve.NewHeader("X-Tenant-ID"))
)

// want checks one resolver's answer: a slug, or the word [tenant.Reason] has for
// the refusal.
func want(t *testing.T, what string, a resolve.Answer, err error, outcome string) {
	t.Helper()
	got := tenant.Reason(err)
	if err == nil {
		got = a.Tenant.Slug.String()
	} else if a.Tenant != nil {
		t.Errorf("%s: a tenant beside the error %v", what, err)
	}
	if got != outcome {
		t.Errorf("%s: got %q (error: %v), want %q", what, got, err, outcome)
	}
}

func TestEveryResolverSaysItsName(t *testing.T) {
	for r, name := range map[resolve.Resolver]string{byHost: "host", byPath: "path", byHeader: "header"} {
		if r.Name() != name {
			t.Errorf("got %q, want %q", r.Name(), name)
		}
	}
}

func TestRefusalsAreOfTheVocabulary(t *testing.T) {
	for _, r := range []*http.Request{
		request(t, "/%41", "a b.petstore.localhost", "X-Tenant-ID: A"),
		request(t, "/nobody", "nobody.petstore.localhost", "X-Tenant-ID: nobody"),
		request(t, "/", "elsewhere.example"),
	} {
		for _, resolver := range []resolve.Resolver{byHost, byPath, byHeader} {
			_, err := resolver.Resolve(r, tenants)
			if !errors.Is(err, tenant.ErrMalformed) && !errors.Is(err, tenant.ErrNotFound) && !errors.Is(err, tenant.ErrMissing) {
				t.Errorf("%s: %v", resolver.Name(), err)
			}
		}
	}
}
