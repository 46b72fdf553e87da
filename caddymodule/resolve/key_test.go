package resolve_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func TestAKeyNamesItsTenantAndABadOneNobody(t *testing.T) {
	broken := errors.New("not read yet")
	k := resolve.NewKey(func(r *http.Request) (tenant.Slug, error) {
		switch key := r.Header.Get("X-Api-Key"); key {
		case "":
			return tenant.Slug{}, nil
		case "broken":
			return tenant.Slug{}, broken
		default:
			return tenant.MustSlug(key), nil
		}
	})
	for key, want := range map[string]error{"": tenant.ErrMissing, "broken": broken, "acme-pets": nil, "nobody-here": tenant.ErrNotFound} {
		r := &http.Request{Header: http.Header{"X-Api-Key": {key}}}
		if key == "" {
			r.Header = nil
		}
		a, err := k.Resolve(r, tenants)
		if !errors.Is(err, want) || (err == nil) != (a.Tenant != nil) || (err == nil && a.Source != k.Name()) {
			t.Errorf("%q: %+v, %v, want %v", key, a, err, want)
		}
	}
}
