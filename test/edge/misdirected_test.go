package edge

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// Tenants' subdomains share a wildcard certificate, so that an HTTP/2 or
// HTTP/3 client may well use a connection made for one tenant for another.
func TestAConnectionMadeForOneTenantServesNoOther(t *testing.T) {
	recorder := harness.StartRecorder(t)
	s := harness.StartStack(t, harness.Options{Recorder: recorder})
	acme, fluffy := harness.Host(harness.Acme), harness.Host(harness.Fluffy)
	for _, protocol := range protocols {
		t.Run(strings.ReplaceAll(protocol, "/", ""), func(t *testing.T) {
			recorder.Reset()
			c := connect(t, s.HTTPS, protocol, acme)
			c.issuedFor(fluffy) // which is why a client may coalesce
			refused := c.get(fluffy, "/api/pets")
			if refused.status != http.StatusMisdirectedRequest || refused.header.Get("Content-Type") != "application/problem+json" {
				t.Fatalf("host of another tenant: %+v", refused)
			}
			for name, host := range map[string]string{
				"unknown tenant": "nobody." + harness.Domain, "reserved word": "www." + harness.Domain, "the domain": harness.Domain,
				"deeper": "a." + acme, "with a port": fluffy + ":443", "upper case": strings.ToUpper(fluffy), "trailing dot": fluffy + ".",
			} {
				a, err := c.try(host, "/api/pets")
				if err != nil {
					continue // cut off, which is a refusal too
				}
				// A host that no site has is refused by Caddy or by the common 404.
				if !a.same(refused) && a.status != http.StatusNotFound {
					t.Errorf("%s: %+v", name, a)
				}
			}
			for _, host := range []string{acme, strings.ToUpper(acme), acme + ".", acme + ":8443"} {
				if a := c.get(host, "/api/pets"); a.status != http.StatusOK {
					t.Errorf("%s, on the same connection: %d", host, a.status)
				}
			}
			for _, r := range recorder.Requests() {
				if got := r.Header.Get("X-Tenant-ID"); got != harness.Acme {
					t.Errorf("the backend was asked for tenant %q", got)
				}
			}
			if n := len(recorder.Requests()); n != 4 {
				t.Errorf("the backend saw %d requests; want 4", n)
			}
			other := connect(t, s.HTTPS, protocol, fluffy)
			if a := other.get(fluffy, "/api/pets"); a.status != http.StatusOK {
				t.Errorf("the repetition on a connection of its own: %d", a.status)
			}
		})
	}
}

func TestEveryVersionOfHTTPIsHeldToTheSameRules(t *testing.T) {
	recorder := harness.StartRecorder(t)
	s := harness.StartStack(t, harness.Options{Recorder: recorder})
	acme := harness.Host(harness.Acme)
	var refusals []answer
	for _, protocol := range protocols {
		t.Run(strings.ReplaceAll(protocol, "/", ""), func(t *testing.T) {
			recorder.Reset()
			c := connect(t, s.HTTPS, protocol, acme)
			a := c.get(acme, "/api/pets?a=%2F", "X-Tenant-ID", harness.Fluffy, "X-Tenant-Plan", "enterprise", "Tenant-Identity", "a.b.c",
				"X-Forwarded-Host", harness.Host(harness.Fluffy), "Forwarded", "host="+harness.Host(harness.Fluffy), "X-Forwarded-For", "6.6.6.6")
			if a.status != http.StatusOK || a.header.Get("X-RateLimit-Limit") != "100" {
				t.Fatalf("%+v", a)
			}
			seen := recorder.Requests()
			if len(seen) != 1 {
				t.Fatalf("the backend saw %d requests", len(seen))
			}
			if r := seen[0]; r.Header.Get("X-Tenant-ID") != harness.Acme || r.Header.Get("X-Tenant-Plan") != "free" || len(r.Header.Values("Tenant-Identity")) != 1 {
				t.Errorf("headers at the backend: %v", r.Header)
			}
			for _, forged := range []string{harness.Fluffy, "a.b.c", "6.6.6.6", "enterprise"} {
				if strings.Contains(recorder.Bytes(), forged) {
					t.Errorf("%q has reached the backend", forged)
				}
			}
			if uri := seen[0].RequestURI; uri != "/api/pets?a=%2F" {
				t.Errorf("the backend was asked for %s", uri)
			}

			for _, host := range []string{"nobody." + harness.Domain, "no--body." + harness.Domain, "www." + harness.Domain} {
				refusal := connect(t, s.HTTPS, protocol, host).get(host, "/api/pets")
				if refusal.status != http.StatusNotFound {
					t.Errorf("%s: %+v", host, refusal)
				}
				refusal.header.Del("Alt-Svc")
				refusals = append(refusals, refusal)
			}
			if n := len(recorder.Requests()); n != 1 {
				t.Errorf("the backend saw %d requests; want 1", n)
			}
		})
	}
	for _, a := range refusals {
		if !a.same(refusals[0]) {
			t.Errorf("refusals differ: %+v and %+v", a, refusals[0])
		}
	}
}

// The limit is the client's, however it comes.
func TestTheVersionsOfHTTPShareOneLimit(t *testing.T) {
	s := harness.StartStack(t, harness.Options{Recorder: harness.StartRecorder(t)})
	acme := harness.Host(harness.Acme)
	var left []string
	for _, protocol := range protocols {
		left = append(left, connect(t, s.HTTPS, protocol, acme).get(acme, "/api/pets").header.Get("X-RateLimit-Remaining"))
	}
	if got := strings.Join(left, " "); got != "99 98 97" {
		t.Errorf("remaining over the three versions: %s; want 99 98 97", got)
	}
}

func TestTheRedirectToHTTPSKeepsHostAndPath(t *testing.T) {
	s := harness.StartStack(t, harness.Options{})
	for _, host := range []string{harness.Host(harness.Acme), "pets.acme.example"} {
		r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1/a%2Fb//c?q=%20&x", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Host, r.Host = "127.0.0.1:"+port(s.HTTP), host+":"+port(s.HTTP)
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		want := "https://" + host + ":" + port(s.HTTPS) + "/a%2Fb//c?q=%20&x"
		if got := res.Header.Get("Location"); res.StatusCode != http.StatusPermanentRedirect || got != want {
			t.Errorf("%d to %q; want 308 to %q", res.StatusCode, got, want)
		}
	}
}
