package control_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// column is what a gateway reads of a tenant.
func (w *world) column(t *testing.T, slug tenant.Slug) (upstreams string, revision int64) {
	t.Helper()
	err := w.db.View(t.Context(), func(tx sqldb.Conn) error {
		return tx.QueryRowContext(t.Context(), `SELECT upstreams, revision FROM tenants WHERE slug = $1`, slug.String()).Scan(&upstreams, &revision)
	})
	if err != nil {
		t.Fatal(err)
	}
	return upstreams, revision
}

func TestATenantsOwnBackendsAreKeptInTheFormThatGatewaysRead(t *testing.T) {
	w := newWorld(t, options{})
	acme := tenant.MustSlug("acme")
	made := w.create(t, control.New{Slug: "acme", Upstreams: []string{"10.0.0.2:80", "Silo.Example:9000"}})
	if !slices.Equal(made.Tenant.Upstreams, []string{"10.0.0.2:80", "silo.example:9000"}) {
		t.Errorf("created with %q", made.Tenant.Upstreams)
	}
	if got, _ := w.column(t, acme); got != "10.0.0.2:80,silo.example:9000" {
		t.Errorf("kept as %q", got)
	}
	for _, test := range []struct {
		to   []string
		want string
	}{
		{[]string{"[2001:db8::7]:8080"}, "[2001:db8::7]:8080"},
		{[]string{"10.0.0.3:1", "10.0.0.1:1"}, "10.0.0.3:1,10.0.0.1:1"}, // in their order
		{nil, ""},
	} {
		_, before := w.column(t, acme)
		changed, err := w.Change(t.Context(), acme, control.Patch{Upstreams: &test.to})
		if err != nil {
			t.Fatal(err)
		}
		got, revision := w.column(t, acme)
		if got != test.want || revision <= before || strings.Join(changed.Upstreams, ",") != test.want {
			t.Errorf("%q: kept as %q, returned as %q, revision %d after %d", test.to, got, changed.Upstreams, revision, before)
		}
		w.refresh(t)
		if known := w.directory.Lookup(acme); !slices.Equal(known.Upstreams, changed.Upstreams) {
			t.Errorf("the directory knows %q", known.Upstreams)
		}
	}
	// A change of something else leaves them alone.
	one, name := []string{"10.0.0.9:80"}, "Acme"
	if _, err := w.Change(t.Context(), acme, control.Patch{Upstreams: &one}); err != nil {
		t.Fatal(err)
	}
	if changed, err := w.Change(t.Context(), acme, control.Patch{Name: &name}); err != nil || !slices.Equal(changed.Upstreams, one) {
		t.Errorf("after another change: %q, %v", changed.Upstreams, err)
	}
	events, err := w.Events(t.Context(), acme, 2)
	if err != nil || len(events) != 2 {
		t.Fatal(events, err)
	}
	var before, after struct{ Upstreams []string }
	if json.Unmarshal(events[1].Before, &before) != nil || json.Unmarshal(events[1].After, &after) != nil || len(before.Upstreams) != 0 || !slices.Equal(after.Upstreams, one) {
		t.Errorf("recorded as %s to %s", events[1].Before, events[1].After)
	}
}

func TestMistakesInBackendsAreNamedByTheirPlace(t *testing.T) {
	w := newWorld(t, options{})
	w.create(t, control.New{Slug: "acme"})
	good := "10.0.0.1:80"
	for _, test := range []struct {
		list  []string
		field string
		says  string
	}{
		{[]string{good, "10.0.0.2"}, "upstreams[1]", "expected HOST:PORT, as in 10.20.0.7:8080"},
		{[]string{"http://10.0.0.2:80"}, "upstreams[0]", "expected"},
		{[]string{good, good}, "upstreams[1]", "there already"},
		{[]string{good, "10.0.0.2:0"}, "upstreams[1]", "expected a port from 1 to 65535"},
		{[]string{"{env.SECRET}:80"}, "upstreams[0]", "expected a host name or an IP address"},
		{[]string{"unix//run/x.sock"}, "upstreams[0]", "expected HOST:PORT"},
		{[]string{"a,b:80"}, "upstreams[0]", "expected"},
		{[]string{""}, "upstreams[0]", "expected HOST:PORT"},
		{strings.Fields(strings.Repeat("x ", 17)), "upstreams", "expected at most 16 addresses"},
	} {
		_, err := w.Change(t.Context(), tenant.MustSlug("acme"), control.Patch{Upstreams: &test.list})
		if got := invalid(t, err); got != test.field || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q: got %v", test.list, err)
		}
		_, err = w.Create(t.Context(), control.New{Slug: "globex", Upstreams: test.list}, "")
		if got := invalid(t, err); got != test.field {
			t.Errorf("creating with %q: got %v", test.list, err)
		}
	}
	if got, _ := w.column(t, tenant.MustSlug("acme")); got != "" {
		t.Errorf("kept %q", got)
	}
}

func TestATenantsOwnBackendsAreInItsArchiveAndGoWithIt(t *testing.T) {
	w := newWorld(t, options{})
	w.create(t, control.New{Slug: "acme", Upstreams: []string{"10.0.0.1:80", "10.0.0.2:80"}})
	var archive bytes.Buffer
	if err := w.Export(t.Context(), tenant.MustSlug("acme"), &archive); err != nil {
		t.Fatal(err)
	}
	copied, err := w.Import(t.Context(), &archive, "copied", "")
	if err != nil || !slices.Equal(copied.Tenant.Upstreams, []string{"10.0.0.1:80", "10.0.0.2:80"}) {
		t.Errorf("imported with %q, %v", copied.Tenant.Upstreams, err)
	}
	// From the first event on: at no time would it be led to the shared ones.
	events, err := w.Events(t.Context(), tenant.MustSlug("copied"), 100)
	if err != nil || !strings.Contains(string(events[len(events)-1].After), `"upstreams":["10.0.0.1:80","10.0.0.2:80"]`) {
		t.Errorf("claimed as %s, %v", events[len(events)-1].After, err)
	}
	deactivated := tenant.Deactivated
	if _, err := w.Change(t.Context(), tenant.MustSlug("acme"), control.Patch{Status: &deactivated}); err != nil {
		t.Fatal(err)
	}
	if err := w.Purge(t.Context(), tenant.MustSlug("acme"), "acme"); err != nil {
		t.Fatal(err)
	}
	if got, _ := w.column(t, tenant.MustSlug("acme")); got != "" {
		t.Errorf("a purged tenant keeps %q", got)
	}
}

// A request of an older program is repeated after an upgrade.
func TestARequestWithoutBackendsHasTheHashItHadBefore(t *testing.T) {
	b, err := json.Marshal(control.New{Slug: "acme", Name: "Acme"})
	if err != nil || string(b) != `{"Slug":"acme","Name":"Acme","Plan":"","Isolation":"","AdminEmail":"","NoSamplePet":false}` {
		t.Errorf("got %s, %v", b, err)
	}
}
