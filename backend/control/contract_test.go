package control_test

import (
	"encoding/hex"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/sources/sqlite"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// What the control plane writes the gateway must read: a record that is accepted
// here is one that is served there. Every value below is offered to the control
// plane, and where it is taken the gateway reads the catalog.

// gateway reads the catalog as the gateway does.
type gateway struct {
	tenants     *registry.Registry
	credentials *registry.CredentialFeed
}

// readBy opens the gateway's sources over a folder, and checks limits as its
// plans do.
func readBy(t *testing.T, dir string) gateway {
	t.Helper()
	path := filepath.Join(dir, "petstore.db")
	guest := &sqlite.SQLite{Address: path}
	if err := guest.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	source, err := guest.OpenSource()
	if err != nil {
		t.Fatal(err)
	}
	tenants := registry.Open(registry.Options{Source: source, Check: func(t *tenant.Tenant) []registry.Fault {
		if t.Limits == "" {
			return nil
		}
		limits, err := limit.Parse(t.Limits)
		if err == nil {
			_, err = limit.NewPolicy(limits, limit.Deny)
		}
		if err != nil {
			return []registry.Fault{{Field: "limits", Err: err}}
		}
		return nil
	}})
	t.Cleanup(func() { _ = tenants.Close() })
	keys, err := guest.OpenCredentials()
	if err != nil {
		t.Fatal(err)
	}
	credentials := registry.OpenCredentials(registry.CredentialOptions{Source: keys})
	t.Cleanup(func() { _ = credentials.Close() })
	if err := errors.Join(tenants.WaitFirst(t.Context()), credentials.WaitFirst(t.Context())); err != nil {
		t.Fatal(err)
	}
	return gateway{tenants, credentials}
}

// serves fails the test unless the gateway serves the tenant, without any fault
// in the catalog, and returns what it read.
func (g gateway) serves(t *testing.T, slug tenant.Slug) *tenant.Tenant {
	t.Helper()
	s := g.tenants.Snapshot()
	got := s.BySlug(slug)
	if got == nil {
		t.Fatalf("accepted, and not known to the gateway: %v", s.Problems())
	}
	if s.ProblemCount() > 0 || got.Status == tenant.Active && tenant.Check(got) != nil {
		t.Errorf("accepted, and the gateway finds fault with it: %v, %v", s.Problems(), tenant.Check(got))
	}
	return got
}

// taken says whether the control plane took a value; any refusal must be one
// that names fields.
func taken(t *testing.T, err error) bool {
	t.Helper()
	if err != nil && !errors.Is(err, petstore.ErrInvalid) && !errors.Is(err, control.ErrState) {
		t.Fatalf("got error %v, expected one that names the field", err)
	}
	return err == nil
}

func TestWhateverOnboardingAcceptsTheGatewayServes(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, n := range []control.New{
		{Slug: "acme"}, {Slug: long}, {Slug: long + "a"}, {Slug: "a"}, {Slug: "0"}, {Slug: "1-2"}, {Slug: "xn--a"}, {Slug: "www"}, {Slug: "Acme"}, {Slug: "a--b"}, {Slug: "a_b"}, {Slug: ""},
		{Slug: "acme", Name: strings.Repeat("\U0001F408", control.MaxName)}, {Slug: "acme", Name: strings.Repeat("x", control.MaxName+1)}, {Slug: "acme", Name: "\u00a0"}, {Slug: "acme", Name: "a\tb"}, {Slug: "acme", Name: "=1+1,\"x\""},
		{Slug: "acme", Plan: "premium"}, {Slug: "acme", Plan: "Premium"}, {Slug: "acme", Plan: "gold"}, {Slug: "acme", Plan: " free"},
		{Slug: "acme", Upstreams: []string{"10.0.0.1:80"}}, {Slug: "acme", Upstreams: []string{"Silo.Example:65535", "[2001:db8::1]:1"}}, {Slug: "acme", Upstreams: []string{"silo.example:0"}},
		{Slug: "acme", Upstreams: []string{"a,b:80"}}, {Slug: "acme", Upstreams: []string{"http://a:80"}}, {Slug: "acme", Upstreams: []string{""}}, {Slug: "acme", Upstreams: []string{"unix//run/x"}},
	} {
		t.Run(n.Slug+" "+n.Name+n.Plan+strings.Join(n.Upstreams, " "), func(t *testing.T) {
			dir := t.TempDir()
			w := worldIn(t, dir, options{})
			n.NoSamplePet = true
			created, err := w.Create(t.Context(), n, "")
			if !taken(t, err) {
				return
			}
			got := readBy(t, dir).serves(t, created.Tenant.Slug)
			want := created.Tenant
			if got.ID != want.ID || got.Name != want.Name || got.Plan != want.Plan || got.Status != tenant.Active || !slices.Equal(got.Upstreams, want.Upstreams) {
				t.Errorf("the gateway reads %+v, expected %+v", got, want.Tenant)
			}
		})
	}
}

func TestWhateverPatchAcceptsTheGatewayServes(t *testing.T) {
	text := func(s string) *string { return &s }
	list := func(s ...string) *[]string { return &s }
	patches := map[string]control.Patch{
		"plan": {Plan: text("premium")}, "plan upper": {Plan: text("Premium")}, "name": {Name: text("Z\u00f6e & Co")}, "name empty": {Name: text("")},
		"upstreams": {Upstreams: list("10.0.0.1:9000", "silo.example:80")}, "upstreams none": {Upstreams: list()}, "upstreams twice": {Upstreams: list("a:80", "A:80")},
	}
	for _, s := range []string{"", " ", "100/1h", "200/1h 10/1s", " 100/1h  10/s ", "tenant:1000/1h 5/second", "client:5/m", "10/concurrent", "100/month", "100/month@31", "100/month@32", "5/calendar-day",
		"100/1h 50/1h", "100/1h 100/60m", "1/1h 1/2h 1/3h 1/4h 1/5h 1/6h 1/7h 1/8h", "1/1h 1/2h 1/3h 1/4h 1/5h 1/6h 1/7h 1/8h 1/9h", "0/1h", "-1/1h", "1e3/1h", "100", "100/", "/1h", "100/0s", "100/1ms", "100/99999999d", "100/31d",
		"9007199254740991/1h", "9007199254740992/1h", "99999999999999999999/1h", "100/1w", "100/1h,10/1s", "100/1H", strings.Repeat("0", 300) + "1/1h", "١/1h"} {
		patches["limits "+s] = control.Patch{Limits: &s}
	}
	for _, s := range []string{"shop.acme.example", "Shop.Acme.Example.", "a.example:443", "acme.localhost", "co.uk", "xn--bcher-kva.example", "b\u00fccher.example", "*.acme.example", "127.0.0.1", "[::1]", "a..b", "-a.example", "under_score.example", strings.Repeat("a.", 120) + "example", "pets.example", "a b.example", ""} {
		patches["host "+s] = control.Patch{Hosts: &[]string{s}}
	}
	for s := range tenant.Status(10) {
		patches["status "+s.String()] = control.Patch{Status: &s}
	}
	for name, p := range patches {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := worldIn(t, dir, options{})
			w.create(t, control.New{Slug: "acme", NoSamplePet: true})
			want, err := w.Change(t.Context(), acme, p)
			if !taken(t, err) {
				return
			}
			g := readBy(t, dir)
			got := g.serves(t, acme)
			if got.Name != want.Name || got.Plan != want.Plan || got.Status != want.Status || got.Limits != want.Limits || !slices.Equal(got.Hosts, want.Hosts) || !slices.Equal(got.Upstreams, want.Upstreams) {
				t.Errorf("the gateway reads %+v, expected %+v", got, want.Tenant)
			}
			for _, h := range want.Hosts {
				if g.tenants.Snapshot().ByHost(h) != got {
					t.Errorf("the gateway does not lead %q to the tenant", h)
				}
			}
		})
	}
}

func TestWhateverIssuerIsAcceptedTheGatewayServes(t *testing.T) {
	for name, i := range map[string]control.Issuer{
		"usual": ownIssuer, "none": {}, "half": {Issuer: "a"}, "other half": {JWKS: "https://a.example/"}, "plain": {Issuer: "a", JWKS: "http://a.example/"},
		"longest": {Issuer: strings.Repeat("a", 255), JWKS: "https://a.example/" + strings.Repeat("a", 237)}, "longer": {Issuer: strings.Repeat("a", 256), JWKS: "https://a.example/"},
		"space": {Issuer: "a b", JWKS: "https://a.example/"}, "not ASCII": {Issuer: "\u00fc", JWKS: "https://a.example/"}, "a file": {Issuer: "a", JWKS: "file:///etc/passwd"},
		"a fragment": {Issuer: "a", JWKS: "https://a.example/#x"}, "a user": {Issuer: "a", JWKS: "https://u:p@a.example/"}, "no host": {Issuer: "a", JWKS: "https:///keys"}, "no URL": {Issuer: "a", JWKS: "keys"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := worldIn(t, dir, options{})
			w.create(t, control.New{Slug: "acme", NoSamplePet: true})
			if !taken(t, setIssuer(t, w, acme, i)) {
				return
			}
			got := readBy(t, dir).serves(t, acme)
			if got.Issuer != i.Issuer || got.JWKS != i.JWKS {
				t.Errorf("the gateway reads %q and %q", got.Issuer, got.JWKS)
			}
			if _, err := auth.HTTPFetcher(got.JWKS, auth.HTTPOptions{}); got.JWKS != "" && err != nil {
				t.Errorf("the gateway cannot fetch the keys: %v", err)
			}
		})
	}
}

func TestWhateverKeyIsAcceptedTheGatewayKnows(t *testing.T) {
	now := time.Now()
	for name, n := range map[string]control.NewKey{
		"usual": {Name: "ci", Roles: []string{"editor"}, Expires: now.Add(time.Hour)}, "without end": {Name: "ci"}, "the end of time": {Name: "ci", Expires: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
		"in a moment": {Name: "ci", Expires: now.Add(time.Minute).In(time.FixedZone("", 5*3600))}, "over": {Name: "ci", Expires: now.Add(-time.Hour)}, "1970": {Name: "ci", Expires: time.Unix(1, 0)},
		"a long name": {Name: strings.Repeat("\U0001F408", 64)}, "a longer one": {Name: strings.Repeat("x", 65)}, "spaces": {Name: " ci "}, "no name": {}, "control": {Name: "a\nb"}, "not UTF-8": {Name: "\xff"}, "quotes": {Name: `a "b" 'c'`},
		"many roles": {Name: "ci", Roles: strings.Fields("a b c d e f g h i j k l m n o p")}, "too many": {Name: "ci", Roles: strings.Fields("a b c d e f g h i j k l m n o p q")},
		"long role": {Name: "ci", Roles: []string{strings.Repeat("a", 64)}}, "longer role": {Name: "ci", Roles: []string{strings.Repeat("a", 65)}}, "signs": {Name: "ci", Roles: []string{"a_b.c:d/e-f"}}, "space": {Name: "ci", Roles: []string{"a b"}}, "twice": {Name: "ci", Roles: []string{"a", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := worldIn(t, dir, options{})
			w.create(t, control.New{Slug: "acme", NoSamplePet: true})
			made, text, err := w.CreateKey(t.Context(), acme, n)
			if !taken(t, err) {
				return
			}
			hash, err := auth.HashAPIKey(text)
			if err != nil {
				t.Fatal(err)
			}
			got := readBy(t, dir).credentials.Current().Key(hash)
			if got == nil {
				t.Fatalf("the gateway does not know the key of hash %s", hex.EncodeToString(hash[:]))
			}
			if got.Name != n.Name || got.Tenant != acme || !slices.Equal(got.Roles, n.Roles) || got.Revoked || !got.Expires.Equal(made.Expires) {
				t.Errorf("the gateway reads %+v, expected %+v", got, made)
			}
		})
	}
}

func TestWhateverRevocationIsAcceptedTheGatewayObeys(t *testing.T) {
	now := time.Now()
	for name, r := range map[string]control.Revocation{
		"a token": {TokenID: "jti-1"}, "a subject": {Subject: "ann"}, "of one issuer": {Subject: "ann", Issuer: "https://idp.example"}, "both": {TokenID: "a", Subject: "b"}, "none": {},
		"the second day of all": {Subject: "ann", Before: time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC)}, "before all": {Subject: "ann", Before: time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC)},
		"an hour ago": {Subject: "ann", Before: now.Add(-time.Hour)}, "to come": {Subject: "ann", Before: now.Add(time.Hour)}, "until the end of time": {TokenID: "a", Until: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)},
		"longest": {TokenID: strings.Repeat("a", 255)}, "longer": {TokenID: strings.Repeat("a", 256)}, "not ASCII": {Subject: "Z\u00f6e"}, "control": {Subject: "a\nb"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := worldIn(t, dir, options{})
			made, err := w.Revoke(t.Context(), r)
			if !taken(t, err) {
				return
			}
			c := readBy(t, dir).credentials.Current()
			issuer := r.Issuer
			if issuer == "" {
				issuer = "anybody"
			}
			token := registry.Token{ID: r.TokenID, Subject: r.Subject, Issuer: issuer, IssuedAt: made.Before.Add(-time.Second)}
			if !c.Revoked(token) {
				t.Errorf("the gateway does not refuse %+v", token)
			}
			if token.IssuedAt = now.Add(time.Minute); r.Subject != "" && c.Revoked(token) {
				t.Errorf("the gateway refuses %+v, which was issued after %v", token, made.Before)
			}
		})
	}
}
