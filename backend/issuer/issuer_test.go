package issuer

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func TestATokenPassesTheGatewaysOwnVerifier(t *testing.T) {
	dir := t.TempDir()
	i, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	token, err := i.Mint(Grant{Tenant: tenant.MustSlug("acme-pets"), User: "ann", Roles: []string{petstore.RoleEditor, petstore.RoleAdmin}, TTL: time.Hour}, "id1", noon)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	keys, skipped, err := auth.ParseJWKS(again.JWKS())
	if err != nil || len(skipped) > 0 {
		t.Fatal(err, skipped)
	}
	v, err := auth.NewVerifier(auth.Options{Keys: auth.Fixed(keys), Issuer: Name, Audience: Audience})
	if err != nil {
		t.Fatal(err)
	}
	p, err := v.Verify(context.Background(), token, noon)
	if err != nil {
		t.Fatal(err)
	}
	if p.Subject != "ann" || p.TokenID != "id1" || !p.BelongsTo(tenant.MustSlug("acme-pets")) || !slices.Equal(p.Roles, []string{petstore.RoleEditor, petstore.RoleAdmin}) || !p.Expires.Equal(noon.Add(time.Hour)) {
		t.Errorf("got %+v", p)
	}
}

func TestAGrantThatMakesNoSenseIsRefused(t *testing.T) {
	i, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	acme := tenant.MustSlug("acme-pets")
	for _, test := range []struct {
		grant Grant
		want  string
	}{
		{Grant{User: "ann", TTL: time.Hour}, "no tenant"},
		{Grant{Tenant: acme, TTL: time.Hour}, "no user"},
		{Grant{Tenant: acme, User: "ann"}, "life"},
		{Grant{Tenant: acme, User: "ann", TTL: 25 * time.Hour}, "at most 24h"},
		{Grant{Tenant: acme, User: "ann", TTL: time.Hour, Roles: []string{"root"}}, `unknown role "root"`},
	} {
		if token, err := i.Mint(test.grant, "id", noon); err == nil || token != "" || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %q, %v; want %q", test.grant, token, err, test.want)
		}
	}
}
