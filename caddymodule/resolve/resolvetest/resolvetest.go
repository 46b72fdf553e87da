// Package resolvetest is the contract of a [resolve.Resolver] as tests. Whoever writes
// one runs them over it.
package resolvetest

import (
	"errors"
	"net/http"
	"reflect"
	"sync"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// World is a resolver and the requests that it is tried with.
type World struct {
	// Resolver is what is tested.
	Resolver resolve.Resolver
	// Naming makes a request that names that slug, and Nobody one that names none.
	Naming func(slug string) *http.Request
	Nobody func() *http.Request
	// Malformed are requests that can't be read without doubt, by what is wrong with
	// them. It may be empty.
	Malformed map[string]*http.Request
}

// list is a [tenant.Lookup] of three tenants. All who look are told the same.
type list struct {
	tenants map[tenant.Slug]*tenant.Tenant
}

func (l list) BySlug(s tenant.Slug) *tenant.Tenant { return l.tenants[s] }

func (l list) ByHost(string) *tenant.Tenant { return nil }

func newList() list {
	l := list{make(map[tenant.Slug]*tenant.Tenant)}
	for slug, status := range map[string]tenant.Status{"acme-pets": tenant.Active, "fluffy-friends": tenant.Active, "sleepy-cats": tenant.Suspended} {
		l.tenants[tenant.MustSlug(slug)] = &tenant.Tenant{ID: "id-" + slug, Slug: tenant.MustSlug(slug), Status: status}
	}
	return l
}

// Run runs the suite.
func Run(t *testing.T, w World) {
	tenants := newList()
	t.Run("it has a name", func(t *testing.T) {
		if w.Resolver.Name() == "" {
			t.Error("the name is empty")
		}
	})
	for _, slug := range []string{"acme-pets", "fluffy-friends", "sleepy-cats"} {
		t.Run("finds "+slug+", whatever its status", func(t *testing.T) {
			a, err := w.Resolver.Resolve(w.Naming(slug), tenants)
			want := tenants.BySlug(tenant.MustSlug(slug))
			if err != nil || a.Tenant != want || a.Slug != want.Slug || a.Source == "" {
				t.Errorf("got %+v, %v; want tenant %q, its slug and a source", a, err, slug)
			}
			if a.Prefix != "" && a.Path == "" {
				t.Errorf("a prefix %q without a path", a.Prefix)
			}
		})
	}
	t.Run("says whom nobody is", func(t *testing.T) {
		a, err := w.Resolver.Resolve(w.Naming("nobody"), tenants)
		if !errors.Is(err, tenant.ErrNotFound) || a.Tenant != nil || a.Slug.String() != "nobody" {
			t.Errorf("got %+v, %v; want the slug and tenant.ErrNotFound", a, err)
		}
	})
	t.Run("says that nobody is named", func(t *testing.T) {
		a, err := w.Resolver.Resolve(w.Nobody(), tenants)
		if !errors.Is(err, tenant.ErrMissing) || a.Tenant != nil {
			t.Errorf("got %+v, %v; want tenant.ErrMissing", a, err)
		}
	})
	for what, r := range w.Malformed {
		t.Run("refuses "+what, func(t *testing.T) {
			a, err := w.Resolver.Resolve(r, tenants)
			if !errors.Is(err, tenant.ErrMalformed) || a.Tenant != nil {
				t.Errorf("got %+v, %v; want tenant.ErrMalformed", a, err)
			}
		})
	}
	t.Run("writes nothing to the request", func(t *testing.T) {
		r := w.Naming("acme-pets")
		before := r.Clone(r.Context())
		_, _ = w.Resolver.Resolve(r, tenants)
		if !reflect.DeepEqual(r.Header, before.Header) || *r.URL != *before.URL || r.Host != before.Host || r.Method != before.Method || r.RequestURI != before.RequestURI {
			t.Errorf("the request was %+v and is %+v", before, r)
		}
	})
	t.Run("answers many at once", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 32 {
			slug := []string{"acme-pets", "fluffy-friends"}[i%2]
			r := w.Naming(slug)
			wg.Go(func() {
				for range 100 {
					if a, err := w.Resolver.Resolve(r, tenants); err != nil || a.Slug.String() != slug {
						t.Errorf("got %+v, %v; want %q", a, err, slug)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}
