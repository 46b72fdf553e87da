package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
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

func TestWhatRecordsMayName(t *testing.T) {
	for _, test := range []struct {
		allow, address string
		want           error
	}{
		{"", "192.0.2.7:80", nil}, {"", "10.0.0.7:80", nil}, {"", "[2001:db8::7]:80", nil}, {"", "[fd12::1]:80", nil}, {"", "silo.example:80", nil},
		{"", "127.0.0.1:80", errThisHost}, {"", "127.9.9.9:80", errThisHost}, {"", "[::1]:80", errThisHost}, {"", "0.0.0.0:80", errThisHost},
		{"", "0.1.2.3:80", errThisHost}, {"", "[::]:80", errThisHost}, {"", "169.254.169.254:80", errThisHost}, {"", "[fe80::1]:80", errThisHost},
		{"", "[fd00:ec2::254]:80", errThisHost}, {"", "100.100.100.200:80", errThisHost}, {"", "192.0.0.192:80", errThisHost},
		{"", "224.0.0.1:80", errThisHost}, {"", "[ff02::1]:80", errThisHost}, {"", "255.255.255.255:80", errThisHost},
		{"", "[64:ff9b::7f00:1]:80", errThisHost}, {"", "[2002:7f00:1::]:80", errThisHost}, {"", "[::7f00:1]:80", errThisHost},
		{"", "localhost:80", errThisHost}, {"", "a.localhost:80", errThisHost}, {"", "metadata.google.internal:80", errThisHost},
		{"127.0.0.1", "127.0.0.1:80", nil}, {"127.0.0.1", "127.0.0.2:80", errNotListed}, {"127.0.0.1", "192.0.2.7:80", errNotListed},
		{"10.20.0.0/16", "10.20.3.4:80", nil}, {"10.20.0.0/16", "10.21.3.4:80", errNotListed}, {"10.20.0.0/16", "silo.example:80", errNotListed},
		{"silo.example", "silo.example:80", nil}, {"silo.example", "a.silo.example:80", errNotListed},
		{".silo.example", "a.silo.example:80", nil}, {".silo.example", "silo.example:80", errNotListed}, {".silo.example", "evilsilo.example:80", errNotListed},
		{".silo.example", "10.0.0.1:80", errNotListed}, {"0.0.0.0/0", "169.254.169.254:80", nil},
	} {
		p, err := newDialPolicy(strings.Fields(test.allow))
		if err != nil {
			t.Fatal(err)
		}
		address, err := tenant.ParseUpstream(test.address)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.check(address); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("allow %q: %s: %v; want %v", test.allow, test.address, err, test.want)
		}
	}
	for _, allow := range []string{"10.0.0.1/16", "10.0.0.0/33", "*.example", "A.example", "a b", "http://a.example", "a.example:80", "", "."} {
		if _, err := newDialPolicy([]string{allow}); err == nil {
			t.Errorf("allow %q is accepted", allow)
		}
	}
}

// reverse_proxy writes to the values it is given.
func TestRequestsShareNoUpstream(t *testing.T) {
	newGateway(t, appOptions, siloSite)
	u := &Upstreams{shared: []string{"192.0.2.1:80"}, sampled: newSampler(1)}
	s := &state{tenant: &tenant.Tenant{Slug: tenant.MustSlug("acme-pets"), Upstreams: []string{"192.0.2.2:80", "192.0.2.3:80"}}}
	r := (&http.Request{}).WithContext(context.WithValue(context.Background(), caddyhttp.VarsCtxKey, map[string]any{stateKey: s}))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				list, err := u.GetUpstreams(r)
				if err != nil || len(list) != 2 || list[0].Dial != "192.0.2.2:80" {
					t.Errorf("%v, %v", list, err)
					return
				}
				list[0].Dial, list[1].MaxRequests = "", 7 // a race if shared
			}
		})
	}
	wg.Wait()
}
