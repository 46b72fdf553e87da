package edge

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// claimed is a domain as the pet store shows it.
type claimed struct {
	State   string
	Records []struct{ Type, Name, Value string }
}

func readClaim(t *testing.T, res *harness.Response, status int) (c claimed) {
	t.Helper()
	if res.Status != status {
		t.Fatalf("status %d, want %d: %s", res.Status, status, res.Body)
	}
	if err := json.Unmarshal([]byte(res.Body), &c); err != nil {
		t.Fatalf("reading %q: %v", res.Body, err)
	}
	return c
}

// set is what a customer does in the domain's DNS.
func (n *nameserver) set(name, value string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.txt[name+"."] = []string{value}
}

func TestACustomersOwnDomainFromTheClaimToTheCertificateAndBack(t *testing.T) {
	const host = "pets.customer.example"
	dns := startNameserver(t, "customer.example")
	recorder := harness.StartRecorder(t)
	s := harness.StartStack(t, harness.Options{
		Recorder: recorder, Env: []string{"PETSTORE_DNS_RESOLVER=" + dns.Address},
		// Refused handshakes are what this test waits with.
		Caddyfile: func(text string) string {
			return strings.Replace(text, "permission tenant", "permission tenant {\n refusals off\n }", 1)
		},
	})
	acme, fluffy := "/api/admin/tenants/"+harness.Acme+"/hosts", "/api/admin/tenants/"+harness.Fluffy+"/hosts"
	claim := readClaim(t, s.Control("POST", acme, `{"host":"`+host+`"}`), http.StatusCreated)
	txt := claim.Records[0]
	if txt.Type != "TXT" || claim.State != "pending" {
		t.Fatalf("%+v", claim)
	}
	for _, protocol := range protocols {
		if _, err := tryConnect(t, s.HTTPS, protocol, host); err == nil {
			t.Errorf("%s: a handshake for a domain that nobody has proven", protocol)
		}
	}
	// With another tenant's token in DNS it is nobody's.
	other := readClaim(t, s.Control("POST", fluffy, `{"host":"`+host+`"}`), http.StatusCreated)
	dns.set(txt.Name, "tenancy-made-up")
	if c := readClaim(t, s.Control("POST", acme+"/"+host+"/check", "{}"), http.StatusOK); c.State != "pending" {
		t.Fatalf("verified by a value that is not its own: %+v", c)
	}

	dns.set(txt.Name, txt.Value)
	harness.Eventually(t, harness.StartTimeout, "the background to verify the domain", func() bool {
		_, err := tryConnect(t, s.HTTPS, "h2", host)
		return err == nil
	})
	for _, protocol := range protocols {
		c := connect(t, s.HTTPS, protocol, host)
		c.issuedFor(host)
		if a := c.get(host, "/"); a.status != http.StatusOK {
			t.Errorf("%s: %+v", protocol, a)
		}
		if a := c.get(harness.Host(harness.Acme), "/"); a.status != http.StatusMisdirectedRequest {
			t.Errorf("%s: the subdomain on the domain's connection: %+v", protocol, a)
		}
	}
	for _, r := range recorder.Requests()[1:] { // the first is the harness's
		if got := r.Header.Get("X-Tenant-ID"); got != harness.Acme {
			t.Errorf("the backend was asked for tenant %q", got)
		}
	}

	// Given up, it is served no more, also on a connection that is open, and
	// the other claim does not get it although its token is in DNS.
	open := connect(t, s.HTTPS, "h2", host)
	if res := s.Control("DELETE", acme+"/"+host, ""); res.Status != http.StatusNoContent {
		t.Fatalf("releasing: %d %s", res.Status, res.Body)
	}
	harness.Eventually(t, harness.StartTimeout, "the domain to be refused", func() bool {
		return open.get(host, "/").status == http.StatusNotFound
	})
	dns.set(txt.Name, other.Records[0].Value)
	if c := readClaim(t, s.Control("POST", fluffy+"/"+host+"/check", "{}"), http.StatusOK); c.State != "pending" {
		t.Errorf("a domain given up a moment ago went to another tenant: %+v", c)
	}
	if a := open.get(host, "/"); a.status != http.StatusNotFound {
		t.Errorf("after that: %+v", a)
	}
	if res := s.Control("POST", fluffy, `{"host":"`+harness.Host(harness.Acme)+`"}`); res.Status != http.StatusBadRequest {
		t.Errorf("claiming another tenant's subdomain: %d %s", res.Status, res.Body)
	}
}
