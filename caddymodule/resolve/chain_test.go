package resolve_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Each part is a host, a path and a header; "" leaves the part out.
func TestAllThatAnswerMustAgree(t *testing.T) {
	const (
		acme   = "acme-pets.petstore.localhost"
		own    = "pets.acme.example"
		fluffy = "fluffy-friends.petstore.localhost"
		sleepy = "sleepy-cats.petstore.localhost"
		nobody = "nobody.petstore.localhost"
		apex   = "petstore.localhost"
		bad    = "a.b.petstore.localhost"
	)
	for _, test := range []struct{ host, path, header, outcome string }{
		{acme, "", "", "acme-pets"},
		{own, "", "", "acme-pets"},
		{acme, "/acme-pets/x", "", "acme-pets"},
		{acme, "/acme-pets/x", "acme-pets", "acme-pets"},
		{own, "/acme-pets/x", "acme-pets", "acme-pets"},
		{apex, "/acme-pets/x", "", "acme-pets"},
		{apex, "", "acme-pets", "acme-pets"},
		{apex, "", "", "missing"},
		{"other.example", "", "acme-pets", "acme-pets"},

		{acme, "", "fluffy-friends", "conflict"},
		{acme, "/fluffy-friends/x", "", "conflict"},
		{acme, "/acme-pets/x", "fluffy-friends", "conflict"},
		{apex, "/acme-pets/x", "fluffy-friends", "conflict"},
		{own, "", "fluffy-friends", "conflict"},
		{acme, "", "nobody", "conflict"},
		{nobody, "", "acme-pets", "conflict"},
		{nobody, "", "nobody2", "conflict"},
		{sleepy, "", "acme-pets", "conflict"},
		{fluffy, "", "sleepy-cats", "conflict"},

		{acme, "/acme-pets/../x", "", "malformed"},
		{acme, "", "Acme-Pets", "malformed"},
		{bad, "", "acme-pets", "malformed"},
		{acme, "/fluffy-friends/x", "A", "malformed"},
		{nobody, "", "A", "malformed"},

		{nobody, "", "", "unknown"},
		{nobody, "/nobody/", "nobody", "unknown"},
		{sleepy, "", "", "inactive"},
		{sleepy, "/sleepy-cats/", "sleepy-cats", "inactive"},
		{"sleepy.example", "", "", "inactive"},
	} {
		target := test.path
		if target == "" {
			target = "/"
		}
		r := request(t, target, test.host)
		if test.header != "" {
			r.Header.Set("X-Tenant-ID", test.header)
		}
		what := fmt.Sprintf("%+v", test)
		for _, order := range [][]resolve.Resolver{
			{byHost, byPath, byHeader}, {byHeader, byPath, byHost}, {byPath, byHost, byHeader},
		} {
			a, err := resolve.Chain(order).Resolve(r, tenants)
			want(t, what, a, err, test.outcome)
			if err == nil && a.Claimed != nil {
				t.Errorf("%s: claims beside a tenant: %v", what, a.Claimed)
			}
			if err == nil && test.path != "" && (a.Prefix != "/acme-pets" || a.Path != "/x") {
				t.Errorf("%s: the path's part of the answer is lost: %+v", what, a)
			}
		}
	}
}

func TestTheSourceListsEveryResolverThatAnswered(t *testing.T) {
	r := request(t, "/acme-pets/x", "pets.acme.example", "X-Tenant-ID: acme-pets")
	a, err := resolve.Chain{byHost, byPath, byHeader}.Resolve(r, tenants)
	if err != nil || a.Source != "domain+path+header" {
		t.Errorf("got %q, %v", a.Source, err)
	}
	a, err = resolve.Chain{byHost, byHeader}.Resolve(request(t, "/", "petstore.localhost", "X-Tenant-ID: acme-pets"), tenants)
	if err != nil || a.Source != "header" {
		t.Errorf("got %q, %v", a.Source, err)
	}
}

func TestARefusalListsWhatTheRequestClaimed(t *testing.T) {
	r := request(t, "/nobody/x", "sleepy-cats.petstore.localhost", "X-Tenant-ID: Acme")
	a, err := resolve.Chain{byHost, byPath, byHeader}.Resolve(r, tenants)
	if !errors.Is(err, tenant.ErrMalformed) {
		t.Fatalf("error = %v", err)
	}
	sleepy := tenant.MustSlug("sleepy-cats")
	claims := []resolve.Claim{
		{Source: "host", Slug: sleepy, Tenant: tenants.BySlug(sleepy)},
		{Source: "path", Slug: tenant.MustSlug("nobody")},
	}
	if !slices.Equal(a.Claimed, claims) {
		t.Errorf("claimed %v, want %v", a.Claimed, claims)
	}
	if !a.Slug.IsZero() || a.Prefix != "" || a.Source != "" {
		t.Errorf("a refusal holds more than claims: %+v", a)
	}
}

func TestAnEmptyChainFindsNobody(t *testing.T) {
	a, err := resolve.Chain{}.Resolve(request(t, "/", "acme-pets.petstore.localhost"), tenants)
	want(t, "empty chain", a, err, "missing")
}

type stub struct {
	a   resolve.Answer
	err error
}

func (stub) Name() string { return "stub" }
func (s stub) Resolve(*http.Request, tenant.Lookup) (resolve.Answer, error) {
	return s.a, s.err
}

// A resolver from elsewhere may break its contract; the chain must not serve.
func TestAChainServesNobodyOnABrokenResolver(t *testing.T) {
	broken := errors.New("broken")
	r := request(t, "/", "acme-pets.petstore.localhost")
	for expected, s := range map[error]stub{
		tenant.ErrConflict: {},            // neither a tenant nor an error
		broken:             {err: broken}, // an error of its own
	} {
		a, err := resolve.Chain{byHost, s}.Resolve(r, tenants)
		if !errors.Is(err, expected) || a.Tenant != nil {
			t.Errorf("got %+v, %v, want %v", a, err, expected)
		}
	}
	// The same name for another record.
	other := &tenant.Tenant{ID: "t9", Slug: tenant.MustSlug("acme-pets"), Status: tenant.Active}
	a, err := resolve.Chain{byHost, stub{a: resolve.Answer{Tenant: other, Slug: other.Slug}}}.Resolve(r, tenants)
	want(t, "other record", a, err, "conflict")
}

func ExampleChain() {
	host, _ := resolve.NewHost("petstore.localhost")
	header, _ := resolve.NewHeader("X-Tenant-ID")
	chain := resolve.Chain{host, header}

	r, _ := http.NewRequest(http.MethodGet, "https://acme-pets.petstore.localhost:8443/api/pets", nil)
	a, err := chain.Resolve(r, tenants)
	fmt.Println(a.Tenant.Slug, a.Source, err)

	r.Header.Set("X-Tenant-ID", "fluffy-friends")
	_, err = chain.Resolve(r, tenants)
	fmt.Println(err)
	// Output:
	// acme-pets host <nil>
	// conflicting tenants
}
