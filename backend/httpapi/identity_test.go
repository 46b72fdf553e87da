package httpapi

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func slugs(a, b string) (tenant.Slug, tenant.Slug) { return tenant.MustSlug(a), tenant.MustSlug(b) }

func TestNothingButAVerifiedIdentityIsBelieved(t *testing.T) {
	w := newWorld(t)
	sign := func(o identity.SignerOptions, at time.Time) string {
		t.Helper()
		if o.Keys == nil {
			keys, err := identity.LoadOrCreateKeys(w.dir + "/identity.key")
			if err != nil {
				t.Fatal(err)
			}
			o.Keys = keys
		}
		signer, err := identity.NewSigner(o)
		if err != nil {
			t.Fatal(err)
		}
		token, err := signer.Sign(&tenant.Tenant{ID: "x", Slug: tenant.MustSlug("acme"), Plan: "free", Status: tenant.Active}, at)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	otherKeys, err := identity.LoadOrCreateKeys(t.TempDir() + "/other.key")
	if err != nil {
		t.Fatal(err)
	}
	good := w.identityOf("acme")
	parts := strings.Split(good, ".")
	tests := map[string][]func(*http.Request){
		"nothing":               nil,
		"only X-Tenant-ID":      {with("X-Tenant-ID", "acme")},
		"only a bearer":         {with("Authorization", "Bearer "+good)},
		"empty":                 {with(identity.HeaderName, "")},
		"twice":                 {with(identity.HeaderName, good), with(identity.HeaderName, good)},
		"in another spelling":   {func(r *http.Request) { r.Header["Tenant_Identity"] = []string{good} }},
		"another key":           {with(identity.HeaderName, sign(identity.SignerOptions{Keys: otherKeys}, time.Now()))},
		"another audience":      {with(identity.HeaderName, sign(identity.SignerOptions{Audience: "billing"}, time.Now()))},
		"another issuer":        {with(identity.HeaderName, sign(identity.SignerOptions{Issuer: "someone"}, time.Now()))},
		"expired":               {with(identity.HeaderName, sign(identity.SignerOptions{}, time.Now().Add(-time.Hour)))},
		"not yet":               {with(identity.HeaderName, sign(identity.SignerOptions{}, time.Now().Add(time.Hour)))},
		"no signature":          {with(identity.HeaderName, parts[0]+"."+parts[1]+".")},
		"alg none":              {with(identity.HeaderName, "eyJhbGciOiJub25lIn0."+parts[1]+".")},
		"another's payload":     {with(identity.HeaderName, parts[0]+"."+strings.Split(w.identityOf("globex"), ".")[1]+"."+parts[2])},
		"a megabyte of nothing": {with(identity.HeaderName, strings.Repeat("a", 1<<20))},
	}
	for name, changes := range tests {
		t.Run(name, func(t *testing.T) {
			a := w.expect(401, w.do("GET", "/api/pets", "", changes...))
			fields(t, a)
		})
	}
	w.expect(200, w.do("GET", "/api/pets", "", with(identity.HeaderName, good), with("X-Tenant-ID", "globex")))
	w.expect(404, w.do("GET", "/api/pets", "", with(identity.HeaderName, w.identityOf("nobody"))))
}
