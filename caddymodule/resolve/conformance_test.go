package resolve_test

import (
	"net/http"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve/resolvetest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func TestResolversKeepTheContract(t *testing.T) {
	nobody := func() *http.Request { return request(t, "/", "petstore.localhost") }
	for name, w := range map[string]resolvetest.World{
		"host": {
			Resolver:  byHost,
			Naming:    func(slug string) *http.Request { return request(t, "/x", slug+".petstore.localhost") },
			Malformed: map[string]*http.Request{"two labels": request(t, "/", "a.b.petstore.localhost")},
		},
		"path": {
			Resolver:  byPath,
			Naming:    func(slug string) *http.Request { return request(t, "/"+slug+"/x", "petstore.localhost") },
			Malformed: map[string]*http.Request{"a step up": request(t, "/acme-pets/../x", "petstore.localhost")},
		},
		"path, kept": {
			Resolver: resolve.NewPath(true),
			Naming:   func(slug string) *http.Request { return request(t, "/"+slug+"/x", "petstore.localhost") },
		},
		"header": {
			Resolver:  byHeader,
			Naming:    func(slug string) *http.Request { return request(t, "/x", "petstore.localhost", "X-Tenant-ID: "+slug) },
			Malformed: map[string]*http.Request{"a list": request(t, "/", "petstore.localhost", "X-Tenant-ID: a,b")},
		},
		"key": {
			Resolver: resolve.NewKey(func(r *http.Request) (tenant.Slug, error) {
				if key := r.Header.Get("X-Api-Key"); key != "" {
					return tenant.ParseSlug(key)
				}
				return tenant.Slug{}, nil
			}),
			Naming: func(slug string) *http.Request { return request(t, "/x", "petstore.localhost", "X-Api-Key: "+slug) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			w.Nobody = nobody
			resolvetest.Run(t, w)
		})
	}
}
