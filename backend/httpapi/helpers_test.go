package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqlstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// world is the API over a real store, with a gateway's key to sign with.
type world struct {
	tb      testing.TB
	server  http.Handler
	signer  *identity.Signer
	tenants tenants
	log     *bytes.Buffer
	dir     string
}

// newWorld has the tenants acme and globex.
func newWorld(tb testing.TB) *world {
	tb.Helper()
	dir := tb.TempDir()
	ctx := tb.Context()
	check := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	db, err := sqldb.OpenSQLite(ctx, filepath.Join(dir, "petstore.db"), sqldb.SQLiteOptions{})
	check(err)
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	store, err := sqlstore.Open(ctx, sqlstore.Options{DB: db, Dir: dir})
	check(err)
	_, err = store.Migrate(ctx, tenant.Slug{}, petstore.Shared)
	check(err)
	keyFile := filepath.Join(dir, "identity.key")
	keys, err := identity.LoadOrCreateKeys(keyFile)
	check(err)
	jwks := filepath.Join(dir, "identity.jwks.json")
	w := &world{tb: tb, tenants: tenants{}, log: &bytes.Buffer{}, dir: dir}
	w.signer, err = identity.NewSigner(identity.SignerOptions{Keys: keys})
	check(err)
	w.server = New(Options{
		Store: store, Tenants: w.tenants,
		Verifier:  identity.NewVerifier(identity.VerifierOptions{Keys: identity.FileKeys(jwks)}),
		CursorKey: bytes.Repeat([]byte{7}, 32), Ready: db.Ping, Log: slog.New(slog.NewJSONHandler(w.log, nil)),
	})
	for _, slug := range []tenant.Slug{tenant.MustSlug("acme"), tenant.MustSlug("globex")} {
		check(store.Create(ctx, slug, petstore.Shared))
		w.tenants[slug] = petstore.DefaultConfig()
	}
	return w
}

// tenants are those that are served: the pet store needs no more to know.
type tenants map[tenant.Slug]petstore.Config

func (t tenants) Config(_ context.Context, slug tenant.Slug) (petstore.Config, error) {
	if config, there := t[slug]; there {
		return config, nil
	}
	return petstore.Config{}, tenant.ErrInactive
}

// identityOf signs as the gateway would, for a user who may change pets.
func (w *world) identityOf(slug string) string { return w.sign(slug, "ann", petstore.RoleEditor) }

func (w *world) sign(slug, user string, roles ...string) string {
	w.tb.Helper()
	t := &tenant.Tenant{ID: "id-" + slug, Slug: tenant.MustSlug(slug), Plan: "free", Status: tenant.Active}
	token, err := w.signer.SignUser(t, user, roles, time.Now())
	if err != nil {
		w.tb.Fatal(err)
	}
	return token
}

// asUser is a request of a tenant's user with these roles; no user and no role
// is nobody.
func (w *world) asUser(slug, user string, roles ...string) func(*http.Request) {
	return with(identity.HeaderName, w.sign(slug, user, roles...))
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// pet reads the answer as a pet.
func (a answer) pet(tb testing.TB) petJSON {
	tb.Helper()
	var p petJSON
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		tb.Fatalf("reading %q: %v", a.body, err)
	}
	return p
}

// do sends a request; each change edits it first.
func (w *world) do(method, target, body string, changes ...func(*http.Request)) answer {
	w.tb.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, change := range changes {
		change(r)
	}
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, r)
	result := rec.Result()
	b, err := io.ReadAll(result.Body)
	if err != nil {
		w.tb.Fatal(err)
	}
	return answer{result.StatusCode, result.Header, string(b)}
}

// as is a request through a tenant's site.
func (w *world) as(slug string) func(*http.Request) {
	return with(identity.HeaderName, w.identityOf(slug))
}

func with(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Add(name, value) }
}

func (w *world) expect(status int, a answer) answer {
	w.tb.Helper()
	if a.status != status {
		w.tb.Fatalf("got status %d, expected %d; body %s", a.status, status, a.body)
	}
	return a
}

// addPet creates a pet and returns it.
func (w *world) addPet(slug, name string) petJSON {
	w.tb.Helper()
	return w.expect(201, w.do("POST", "/api/pets", `{"name":"`+name+`","species":"cat"}`, w.as(slug))).pet(w.tb)
}

// fields are the names in a problem's errors.
func fields(tb testing.TB, a answer) string {
	tb.Helper()
	var p struct {
		Status int
		Errors []petstore.FieldError
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || p.Status != a.status || a.header.Get("Content-Type") != "application/problem+json" {
		tb.Fatalf("expected a problem, got %d %s %s (%v)", a.status, a.header.Get("Content-Type"), a.body, err)
	}
	names := make([]string, len(p.Errors))
	for i, e := range p.Errors {
		names[i] = e.Field
	}
	return strings.Join(names, " ")
}
