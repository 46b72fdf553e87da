package caddymodule_test

import (
	"fmt"
	"strings"
	"testing"
)

const siloSite = `
	tenant host pets.test
	tenant_identity
	reverse_proxy {
		dynamic tenant {
			default {backend}
			allow 127.0.0.1
		}
	}`

// silos are tenants of which the first two have backends of their own.
func silos(acme, fluffy string) string {
	return fmt.Sprintf(`{"tenants":[
		{"id":"t1","slug":"acme-pets","plan":"free","upstreams":[%s]},
		{"id":"t2","slug":"fluffy-friends","plan":"free","upstreams":[%s]},
		{"id":"t3","slug":"pooled","plan":"free"}
	]}`, acme, fluffy)
}

func TestATenantsRequestsGoToTheBackendOfItsRecord(t *testing.T) {
	g := newGateway(t, appOptions, siloSite)
	silo := newBackend(t)
	g.write("tenants.json", silos(`"`+silo.addr+`"`, ""))
	eventually(t, "the silo is known", func() bool { return status(g.get("pooled.pets.test", "/")) == "200" })
	g.backend.last(t)

	if answer := g.get("acme-pets.pets.test", "/a"); status(answer) != "200" {
		t.Fatal(answer)
	}
	if r := silo.last(t); r.RequestURI != "/a" || g.verified(r).Tenant.String() != "acme-pets" {
		t.Errorf("the silo got %s", r.RequestURI)
	}
	g.backend.none(t)
	for _, slug := range []string{"fluffy-friends", "pooled"} {
		if answer := g.get(slug+".pets.test", "/"); status(answer) != "200" {
			t.Fatal(answer)
		}
		if r := g.backend.last(t); g.verified(r).Tenant.String() != slug {
			t.Errorf("the shared backend got %v", r.Header)
		}
	}
	silo.none(t)

	g.write("tenants.json", silos("", `"`+silo.addr+`"`))
	eventually(t, "a change of the record is in force", func() bool {
		g.get("fluffy-friends.pets.test", "/")
		silo.mu.Lock()
		defer silo.mu.Unlock()
		return len(silo.seen) > 0
	})
}

func TestABackendThatIsNotAllowedIsNotReplacedByAnother(t *testing.T) {
	site := strings.Replace(siloSite, "allow 127.0.0.1", "allow 10.1.0.0/16", 1)
	for name, site := range map[string]string{
		"with a list":                    site,
		"by default":                     strings.Replace(siloSite, "allow 127.0.0.1", "", 1),
		"with static upstreams besides":  strings.Replace(site, "reverse_proxy {", "reverse_proxy {backend} {", 1),
		"with two, of which one is fine": strings.Replace(site, "10.1.0.0/16", "192.0.2.1", 1),
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, appOptions, site)
			g.write("tenants.json", silos(`"192.0.2.1:80","`+g.backend.addr+`"`, ""))
			eventually(t, "the silo is known", func() bool { return status(g.get("pooled.pets.test", "/")) == "200" })
			g.backend.last(t)
			if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "503" {
				t.Error(answer)
			}
			g.backend.none(t)
		})
	}
}

func TestWithoutATenantThereIsNoUpstream(t *testing.T) {
	g := newGateway(t, appOptions, strings.Replace(siloSite, "tenant host pets.test\n\ttenant_identity", "", 1))
	if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "503" {
		t.Error(answer)
	}
	g.backend.none(t)
}

func TestAFailedUpstreamIsReplacedByTheTenantsNext(t *testing.T) {
	g := newGateway(t, appOptions, strings.Replace(siloSite, "dynamic tenant", "lb_policy first\n lb_retries 2\n fail_duration 1m\n dynamic tenant", 1))
	silo := newBackend(t)
	g.write("tenants.json", silos(`"127.0.0.1:1","`+silo.addr+`"`, ""))
	eventually(t, "the silo is known", func() bool { return status(g.get("pooled.pets.test", "/")) == "200" })
	g.backend.last(t)
	for range 3 {
		if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "200" {
			t.Fatal(answer)
		}
		silo.last(t)
	}
	g.backend.none(t)
}
