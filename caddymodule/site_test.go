package caddymodule_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tlspermission"
)

func TestDirectivesRunInTheRightOrderWhateverOrderTheyAreWrittenIn(t *testing.T) {
	roomy := strings.Replace(appOptions, "5/1h", "1000/1h", 1)
	g := newGateway(t, roomy, fullSite)
	lines := []string{
		"reverse_proxy {backend}", "tenant_identity", "tenant_rate_limit", "tenant host pets.test",
		"request_header X-Tenant-ID fluffy-friends", "header X-Seen {tenant.slug}", "rewrite * /rewritten{uri}",
	}
	for range len(lines) {
		lines = append(lines[1:], lines[0])
		if err := g.load(roomy, strings.Join(lines, "\n")); err != nil {
			t.Fatal(err)
		}
		answer := g.get("acme-pets.pets.test", "/x")
		if status(answer) != "200" || field(answer, "X-Seen") != "acme-pets" || field(answer, "X-RateLimit-Limit") != "1000" {
			t.Fatalf("%q: %s", lines, answer)
		}
		r := g.backend.last(t)
		if claims := g.verified(r); claims.Tenant.String() != "acme-pets" || r.Header.Get("X-Tenant-ID") != "acme-pets" || r.RequestURI != "/rewritten/x" {
			t.Errorf("%q: the backend got %s %v", lines, r.RequestURI, r.Header)
		}
	}
}

func TestARequestIsSignedAlsoInsideHandleAndRouteBlocks(t *testing.T) {
	for _, proxy := range []string{
		"handle /api/* {\nreverse_proxy {backend}\n}",
		"handle_path /api/* {\nreverse_proxy {backend}\n}",
		"route /api/* {\nreverse_proxy {backend}\n}",
		"handle /api/* {\nhandle {\nreverse_proxy {backend}\n}\n}",
	} {
		t.Run(strings.Fields(proxy)[0], func(t *testing.T) {
			g := newGateway(t, appOptions, "tenant host pets.test\ntenant_identity\n"+proxy)
			if answer := g.get("acme-pets.pets.test", "/api/pets"); status(answer) != "200" {
				t.Fatal(answer)
			}
			if claims := g.verified(g.backend.last(t)); claims.Tenant.String() != "acme-pets" {
				t.Errorf("identity of %q", claims.Tenant)
			}
		})
	}
}

func TestASiteThatForgetsTheTenantServesNothing(t *testing.T) {
	for _, directive := range []string{"tenant_identity", "tenant_rate_limit"} {
		t.Run(directive, func(t *testing.T) {
			g := newGateway(t, appOptions, directive+"\nreverse_proxy {backend}")
			if answer := g.get("acme-pets.pets.test", "/", "X-Tenant-ID: acme-pets"); status(answer) != "500" {
				t.Error(answer)
			}
			g.backend.none(t)
		})
	}
	t.Run("two tenant directives", func(t *testing.T) {
		g := newGateway(t, appOptions, "tenant host pets.test\ntenant header\nreverse_proxy {backend}")
		if answer := g.get("acme-pets.pets.test", "/", "X-Tenant-ID: fluffy-friends"); status(answer) != "500" {
			t.Error(answer)
		}
		g.backend.none(t)
	})
}

func TestHandleErrorsDressesRefusals(t *testing.T) {
	g := newGateway(t, appOptions, limited+`
	handle_errors {
		header Content-Type text/plain
		respond "dressed {err.status_code} {err.message}" {err.status_code}
	}`)
	if answer := g.get("nobody.pets.test", "/"); status(answer) != "404" || !strings.HasSuffix(answer, "\r\n\r\ndressed 404 not found") {
		t.Error(answer)
	}
	for range 5 {
		g.get("acme-pets.pets.test", "/")
	}
	answer := g.get("acme-pets.pets.test", "/")
	if status(answer) != "429" || !strings.HasSuffix(answer, "\r\n\r\ndressed 429 too many requests") || field(answer, "Retry-After") == "" || field(answer, "X-RateLimit-Remaining") != "0" {
		t.Error(answer)
	}
}

func TestTheMatcherSelectsByPlanAndSlug(t *testing.T) {
	g := newGateway(t, appOptions, `
	tenant host pets.test
	@gold tenant plan premium enterprise
	@acme tenant slug acme-pets
	@both {
		tenant plan free
		tenant slug acme-pets
	}
	header @gold X-Gold 1
	header @acme X-Acme 1
	header @both X-Both 1
	respond "{tenant.slug}|{tenant.id}|{tenant.plan}|{tenant.name}|{tenant.source}|{tenant.nonsense}"`)
	acme, fluffy := g.get("acme-pets.pets.test", "/"), g.get("fluffy-friends.pets.test", "/")
	if field(acme, "X-Gold")+field(acme, "X-Acme")+field(acme, "X-Both") != "11" || field(acme, "X-Gold") != "" {
		t.Error(acme)
	}
	if field(fluffy, "X-Gold") != "1" || field(fluffy, "X-Acme") != "" || field(fluffy, "X-Both") != "" {
		t.Error(fluffy)
	}
	if !strings.HasSuffix(acme, "acme-pets|t1|free|Acme|host|") {
		t.Errorf("placeholders: %s", acme)
	}
}

func TestATenantThatIsSuspendedIsRefusedWithoutReload(t *testing.T) {
	g := newGateway(t, appOptions, fullSite)
	if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "200" {
		t.Fatal(answer)
	}
	g.write("tenants.json", strings.Replace(tenantsJSON, `"free","status":"active"`, `"free","status":"suspended"`, 1))
	eventually(t, "the tenant is refused", func() bool {
		return status(g.get("acme-pets.pets.test", "/")) == "404"
	})
	g.write("tenants.json", `{"tenants":[{"id":"t9","slug":"new-one","plan":"free","status":"active"}]}`)
	eventually(t, "the new tenant is served", func() bool {
		return status(g.get("new-one.pets.test", "/")) == "200"
	})
	g.write("tenants.json", `{"tenants":[{"id":`)
	g.get("new-one.pets.test", "/")
	if answer := g.get("new-one.pets.test", "/"); status(answer) != "200" {
		t.Errorf("with a source that can't be read: %s", answer)
	}
}

func TestCertificatesAreForDomainsOfActiveTenantsOnly(t *testing.T) {
	g := newGateway(t, appOptions, fullSite)
	p := new(tlspermission.Permission)
	if err := p.Provision(caddy.ActiveContext()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Cleanup() }()
	for name, allowed := range map[string]bool{
		"pets.acme.example": true, "PETS.acme.example": true, "sleepy.example": false, "acme-pets.pets.test": false,
		"x.pets.acme.example": false, "": false, "127.0.0.1": false, "*": false, "*.acme.example": false,
	} {
		err := p.CertificateAllowed(context.Background(), name)
		if (err == nil) != allowed || (err != nil && !errors.Is(err, caddytls.ErrPermissionDenied)) {
			t.Errorf("%q: %v", name, err)
		}
	}
	g.backend.none(t)
}

func TestConfigurationMistakesAreNamed(t *testing.T) {
	g := newGateway(t, appOptions, fullSite)
	for _, test := range []struct{ options, site, want string }{
		{appOptions, "tenant\nrespond x", "expected host DOMAIN, path, header NAME"},
		{appOptions, "tenant host\nrespond x", "host: expected one domain"},
		{appOptions, "tenant host a.test b.test\nrespond x", "host: expected one domain"},
		{appOptions, "tenant host _.test\nrespond x", "_.test"},
		{appOptions, "tenant cookie x\nrespond x", `unknown way to find the tenant "cookie"; expected header, host, key or path`},
		{appOptions, "tenant path away\nrespond x", `unknown option "away"; expected 'keep'`},
		{appOptions, "tenant {\nheader A\nheader B\n}\nrespond x", "header: given twice"},
		{appOptions, "tenant_rate_limit 5\nrespond x", "wrong argument count"},
		{appOptions, "tenant_rate_limit {\ncost 0\n}\nrespond x", `bad number "0"; expected 1 to 1000000`},
		{appOptions, "tenant_rate_limit {\ncost 9999999999\n}\nrespond x", "expected 1 to 1000000"},
		{appOptions, "tenant_rate_limit {\nspeed 1\n}\nrespond x", `unknown option "speed"; expected cost or keep_upstream_fields`},
		{appOptions, "tenant_identity now\nrespond x", "wrong argument count"},
		{appOptions, "@x tenant colour red\nrespond @x x", `unknown "colour"; expected plan or slug`},
		{appOptions, "@x tenant slug A/B\nrespond @x x", "lower-case"},
		{"", fullSite, "no source of tenants"},
		{"\nsource ldap x", fullSite, `unknown type "ldap"; expected file, http, postgres or sqlite`},
		{"\nsource file {dir}/x.json\nsource file {dir}/y.json", fullSite, "source: given twice"},
		{appOptions + "\nplan free 1/1h", fullSite, `plan "free": given twice`},
		{appOptions + "\nplan gold", fullSite, `plan "gold"`},
		{appOptions + "\nplan gold 0/1h", fullSite, "0/1h"},
		{appOptions + "\nplan gold -1/1h", fullSite, "-1/1h"},
		{appOptions + "\nplan gold 9007199254740993/1h", fullSite, "9007199254740993/1h"},
		{appOptions + "\nplan gold 9223372036854775808/1h", fullSite, "9223372036854775808/1h"},
		{appOptions + "\nplan gold many/1h", fullSite, "many/1h"},
		{appOptions + "\nplan Gold 1/1h", fullSite, `plan name "Gold"`},
		{appOptions + "\nplan gold 1/1h {\non_store_failure panic\n}", fullSite, `panic`},
		{appOptions + "\nmax_tenant_series none", fullSite, `bad number "none"`},
		{strings.Replace(appOptions, "guesses off", "guesses many", 1), fullSite, "guesses: reading limit \"many\""},
		{strings.Replace(appOptions, "guesses off", "guesses 1/2h", 1), fullSite, "expected at most 1000000 in at most 1h"},
		{appOptions + "\nshard 7", fullSite, `unknown option "shard"; expected source`},
		{appOptions + "\ndefault_plan gone", fullSite, `default_plan "gone" is not among the plans`},
		{appOptions + "\nredis http://x", fullSite, "http"},
		{appOptions + "\nredis {\nlease_from 0\n}", fullSite, `bad number "0"`},
		{appOptions + "\nredis {\nlease_from\n}", fullSite, "expected a quota, or never"},
		{appOptions + "\nredis {\nshards 2\n}", fullSite, `unknown option "shards"; expected namespace`},
		{"\nsource file {dir}/tenants.json", fullSite, "no plans"},
		{"\nsource file {dir}/tenants.json\nplan free 1/1h", fullSite, "no key to sign with"},
	} {
		err := g.load(test.options, test.site)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s | %s:\n got %v\nwant %q", strings.TrimSpace(test.options), test.site, err, test.want)
		}
	}
	if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "200" {
		t.Errorf("after all the mistakes: %s", answer)
	}
	noApp := strings.Replace(strings.Replace(g.caddyfile("", "tenant host pets.test\nrespond x"), "tenancy {\n\t}", "", 1), "\n\t\n", "\n", 1)
	if err := g.loadFile(noApp); err == nil || !strings.Contains(err.Error(), "the global option 'tenancy' is missing") {
		t.Errorf("without the app: %v", err)
	}
}
