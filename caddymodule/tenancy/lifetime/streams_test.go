package lifetime

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sourcetest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// listOf returns a list with one tenant in that status.
func listOf(t *testing.T, status string) *registry.Snapshot {
	t.Helper()
	r := registry.Open(registry.Options{Source: sourcetest.Static(registry.Record{Slug: "acme-pets", Status: status})})
	t.Cleanup(func() { _ = r.Close() })
	if err := r.WaitFirst(context.Background()); err != nil {
		t.Fatal(err)
	}
	return r.Snapshot()
}

// A change may come between the tenant's look-up and the beginning of the stream:
// nobody tells the stream of it any more.
func TestAStreamThatBeginsTooLateIsEnded(t *testing.T) {
	before, after := listOf(t, "active"), listOf(t, "suspended")
	found := before.BySlug(tenant.MustSlug("acme-pets"))
	for _, test := range []struct {
		name  string
		now   *registry.Snapshot
		ended bool
	}{{"nothing has changed", before, false}, {"the tenant is suspended", after, true}} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Accept", "text/event-stream")
			all, x := new(Streams), new(Exchange)
			end := x.Begin(httptest.NewRecorder(), r, found, before, all, func() *registry.Snapshot { return test.now })
			if ended := r.Context().Err() != nil; ended != test.ended || all.Len() != 1 {
				t.Errorf("ended: %v, %d streams; want %v, 1", ended, all.Len(), test.ended)
			}
			if end(); all.Len() != 0 {
				t.Errorf("%d streams are left", all.Len())
			}
		})
	}
}
