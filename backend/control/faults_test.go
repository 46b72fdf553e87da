package control_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqlstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// exec writes to the catalog as somebody else's program would.
func (w *world) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	err := w.db.Update(t.Context(), func(tx sqldb.Conn) error { return sqldb.Exec(t.Context(), tx, statement, args...) })
	if err != nil {
		t.Fatal(err)
	}
}

func TestARowThatCannotBeReadIsNamedAndInNobodysWay(t *testing.T) {
	const foreign = `INSERT INTO tenants (id, slug, skeleton, name, plan, status, limits, isolation, created_at, updated_at, revision)
		VALUES ('x', 'Glo_bex', 'x', 'x', 'free', 'active', '', 'shared', 1, 1, 0)`
	for name, spoil := range map[string][]string{
		"status":       {`UPDATE tenants SET status = 'sleepy' WHERE slug = 'globex'`},
		"time":         {`UPDATE tenants SET created_at = 'yesterday' WHERE slug = 'globex'`},
		"slug":         {foreign},
		"its own move": {foreign, `INSERT INTO moves (slug, source, target, state, started_at) VALUES ('Glo_bex', 'shared', 'schema', 'copying', 1)`},
		"its claim":    {foreign, `INSERT INTO host_claims (host, slug, token, target, state, created_at, next_at) VALUES ('a.example.org', 'Glo_bex', 't', 't', 'pending', 1, 1)`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var log bytes.Buffer
			o := options{log: slog.New(slog.NewTextHandler(&log, nil))}
			w := worldIn(t, dir, o)
			for _, slug := range []string{"acme", "globex", "initech"} {
				w.create(t, control.New{Slug: slug})
			}
			for _, statement := range spoil {
				w.exec(t, statement)
			}
			again := worldIn(t, dir, o) // as the next command or start would
			list, err := again.List(t.Context(), "", 10)
			if err != nil || len(list) < 2 || list[0].Slug != acme || list[len(list)-1].Slug.String() != "initech" {
				t.Errorf("got %v, %v, expected acme and initech", list, err)
			}
			again.create(t, control.New{Slug: "hooli"})
			if _, err := again.directory.Config(t.Context(), tenant.MustSlug("hooli")); err != nil {
				t.Errorf("a new tenant: %v", err)
			}
			if _, err := again.Places(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := again.PurgeDue(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := again.Resume(t.Context(), 0); err != nil {
				t.Error(err)
			}
			if _, err := again.ResumeMoves(t.Context()); err != nil {
				t.Error(err)
			}
			checker := control.HostChecker{Catalog: again.Catalog, Resolver: newZone()}
			if _, err := checker.CheckDue(t.Context()); err != nil {
				t.Error(err)
			}
			if !strings.Contains(log.String(), "globex") && !strings.Contains(log.String(), "Glo_bex") {
				t.Errorf("nobody is told which row it is: %s", log.String())
			}
		})
	}
}

// stuck cannot remove one tenant's data.
type stuck struct{ *sqlstore.Store }

func (s stuck) Remove(ctx context.Context, t tenant.Slug, i petstore.Isolation) error {
	if t == acme {
		return petstore.ErrUnavailable
	}
	return s.Store.Remove(ctx, t, i)
}

func TestAPurgeThatIsStuckStopsNoOther(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := newWorld(t, options{now: func() time.Time { return now }, storage: func(s *sqlstore.Store) control.Storage { return stuck{s} }})
	gone := tenant.Deactivated
	for _, slug := range []string{"acme", "globex"} {
		w.create(t, control.New{Slug: slug})
		if _, err := w.Change(t.Context(), tenant.MustSlug(slug), control.Patch{Status: &gone}); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(31 * 24 * time.Hour)
	purged, err := w.PurgeDue(t.Context())
	if purged != 1 || !errors.Is(err, petstore.ErrUnavailable) || !strings.Contains(err.Error(), "acme") {
		t.Errorf("got %d purged, %v, expected one and an error that names acme", purged, err)
	}
	if got, err := w.Get(t.Context(), globex); err != nil || got.Status != tenant.Purged {
		t.Errorf("got %+v, %v, expected globex to be purged", got, err)
	}
}

var ownIssuer = control.Issuer{Issuer: "https://idp.acme.example", JWKS: "https://idp.acme.example/keys"}

func TestAPurgeForgetsTheIssuer(t *testing.T) {
	w := newWorld(t, options{})
	gone := tenant.Deactivated
	w.create(t, control.New{Slug: "acme"})
	w.create(t, control.New{Slug: "globex"})
	if err := setIssuer(t, w, acme, ownIssuer); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Change(t.Context(), acme, control.Patch{Status: &gone}); err != nil {
		t.Fatal(err)
	}
	if err := w.Purge(t.Context(), acme, "acme"); err != nil {
		t.Fatal(err)
	}
	if got, err := issuerOf(t, w, acme); err != nil || got != (control.Issuer{}) {
		t.Errorf("got %+v, %v, expected none", got, err)
	}
	if err := setIssuer(t, w, globex, ownIssuer); err != nil {
		t.Errorf("the next tenant of that issuer: %v", err)
	}
}

func TestAnImportedTenantIsOpenToNoMoreThanItWas(t *testing.T) {
	w := newWorld(t, options{})
	w.create(t, control.New{Slug: "acme"})
	limits := "5/1h"
	if _, err := w.Change(t.Context(), acme, control.Patch{Limits: &limits}); err != nil {
		t.Fatal(err)
	}
	if err := setIssuer(t, w, acme, ownIssuer); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := w.Export(t.Context(), acme, &archive); err != nil {
		t.Fatal(err)
	}
	// Two tenants of one issuer: refused, and nothing is left.
	if _, err := w.Import(t.Context(), bytes.NewReader(archive.Bytes()), "copy", ""); !errors.Is(err, control.ErrTaken) {
		t.Errorf("got error %v, expected ErrTaken", err)
	}
	if _, err := w.Get(t.Context(), tenant.MustSlug("copy")); !errors.Is(err, tenant.ErrNotFound) {
		t.Errorf("a half tenant is left: %v", err)
	}
	if err := setIssuer(t, w, acme, control.Issuer{}); err != nil {
		t.Fatal(err)
	}
	created, err := w.Import(t.Context(), bytes.NewReader(archive.Bytes()), "copy", "")
	if err != nil {
		t.Fatal(err)
	}
	copied := created.Tenant.Slug
	if got, err := issuerOf(t, w, copied); err != nil || got != ownIssuer || created.Tenant.Limits != limits {
		t.Errorf("got %+v, %v and limits %q", got, err, created.Tenant.Limits)
	}
	events, err := w.Events(t.Context(), copied, 100)
	if err != nil {
		t.Fatal(err)
	}
	at := func(action string) int {
		return slices.IndexFunc(events, func(e control.Event) bool { return e.Action == action })
	}
	// The newest first: activation must be the last of all.
	if active := at("tenant.activate"); active < 0 || at("tenant.change") < active || slices.ContainsFunc(events[:active], func(e control.Event) bool { return e.Action != "tenant.activate" }) {
		t.Errorf("the tenant was active before it was restricted: %+v", events)
	}
}

func TestAnArchiveThatTwoReadersCouldReadInTwoWaysIsRefused(t *testing.T) {
	w := newWorld(t, options{})
	w.create(t, control.New{Slug: "acme"})
	var archive bytes.Buffer
	if err := w.Export(t.Context(), acme, &archive); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"a name twice":         {`"plan":`, `"plan": "premium", "plan":`},
		"a name in two cases":  {`"plan":`, `"PLAN": "premium", "plan":`},
		"a name in other case": {`"plan":`, `"Plan":`},
		"an unknown name":      {`"plan":`, `"colour": 1, "plan":`},
	} {
		t.Run(name, func(t *testing.T) {
			changed := rewriteManifest(t, archive.Bytes(), change[0], change[1])
			if _, err := w.Import(t.Context(), bytes.NewReader(changed), "copy", ""); !errors.Is(err, control.ErrArchive) {
				t.Errorf("got error %v, expected ErrArchive", err)
			}
		})
	}
}

func TestAHostThatAnOperatorVouchesForOutlivesAnOldClaimToIt(t *testing.T) {
	for name, leaveClaim := range map[string]bool{"claimed before": false, "claimed before, by an older program": true} {
		t.Run(name, func(t *testing.T) {
			h := newHostWorld(t)
			h.claim(acme, own)
			if leaveClaim {
				h.exec(t, `INSERT INTO tenant_hosts (host, slug, verified, created_at) VALUES ($1, 'acme', 1, 1)`, own)
			} else if _, err := h.Change(t.Context(), acme, control.Patch{Hosts: &[]string{own}}); err != nil {
				t.Fatal(err)
			}
			for range 10 {
				h.after(24 * time.Hour)
			}
			if got := h.hosts(acme); got != own {
				t.Errorf("got hosts %q, expected %q", got, own)
			}
		})
	}
}

func TestAnOperatorVouchesForNoDomainThatNobodyCanOwn(t *testing.T) {
	w := newWorld(t, options{})
	w.create(t, control.New{Slug: "acme"})
	for _, host := range []string{"co.uk", "github.io", "com", "acme.localhost", "a.local", "pets.internal", "x.onion", "1.0.0.127.in-addr.arpa", "shop.pets.example", "127.0.0.1", "a.example:80"} {
		t.Run(host, func(t *testing.T) {
			_, err := w.Change(t.Context(), acme, control.Patch{Hosts: &[]string{host}})
			if !errors.Is(err, petstore.ErrInvalid) || !strings.Contains(err.Error(), `"hosts[0]"`) {
				t.Errorf("got error %v, expected one about hosts[0]", err)
			}
		})
	}
	if _, err := w.Change(t.Context(), acme, control.Patch{Hosts: &[]string{"acme.github.io", "Büro.example."}}); err != nil {
		t.Error(err)
	}
}

// A time beyond the year 9999 breaks every listing that it is in.
func TestAnArchiveWithAbsurdTimesIsRefused(t *testing.T) {
	for name, change := range map[string]string{
		"made before 1970":           "created_at = -1",
		"made at no time":            "created_at = 0",
		"made in the year 10000":     "created_at = 253402300800000000",
		"made at the end of numbers": "created_at = 9223372036854775807",
		"made in ten years":          "created_at = created_at + 315360000000000",
		"changed before 1970":        "updated_at = -62135596800000001",
		"changed in the year 10000":  "updated_at = 253402300800000000",
		"deleted before 1970":        "deleted_at = -1",
		"deleted in the year 10000":  "deleted_at = 253402300800000000",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options{})
			w.create(t, control.New{Slug: "acme"})
			w.exec(t, `UPDATE pets SET `+change+` WHERE tenant_id = 'acme'`)
			var archive bytes.Buffer
			if err := w.Export(t.Context(), acme, &archive); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Import(t.Context(), &archive, "copied", ""); !errors.Is(err, control.ErrArchive) {
				t.Errorf("got error %v, expected ErrArchive", err)
			}
			if _, err := w.Get(t.Context(), tenant.MustSlug("copied")); !errors.Is(err, tenant.ErrNotFound) {
				t.Errorf("got error %v, expected that nothing is left", err)
			}
		})
	}
}
