package caddymodule_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

const limited = `
	tenant host pets.test
	tenant_rate_limit
	reverse_proxy {backend}`

func TestARequestOverThePlanIsRefusedWithWhatAClientNeedsToKnow(t *testing.T) {
	g := newGateway(t, appOptions, limited)
	for left := 4; left >= 0; left-- {
		answer := g.get("acme-pets.pets.test", "/")
		if status(answer) != "200" || field(answer, "X-RateLimit-Limit") != "5" ||
			field(answer, "X-RateLimit-Remaining") != strconv.Itoa(left) ||
			field(answer, "RateLimit-Policy") != `"hour";q=5;w=3600` ||
			!strings.HasPrefix(field(answer, "RateLimit"), `"hour";r=`+strconv.Itoa(left)+`;t=`) {
			t.Fatalf("with %d left: %s", left, answer)
		}
		g.backend.last(t)
	}
	answer := g.get("acme-pets.pets.test", "/")
	if status(answer) != "429" || field(answer, "X-RateLimit-Remaining") != "0" || field(answer, "Content-Type") != "application/problem+json" {
		t.Fatal(answer)
	}
	retry, err := strconv.Atoi(field(answer, "Retry-After"))
	if err != nil || retry < 1 || retry > 3700 {
		t.Errorf("Retry-After %q", field(answer, "Retry-After"))
	}
	_, after, _ := strings.Cut(field(answer, "RateLimit"), ";t=")
	if wait, err := strconv.Atoi(after); err != nil || retry < wait {
		t.Errorf("Retry-After %d is earlier than t=%s", retry, after)
	}
	_, body, _ := strings.Cut(answer, "\r\n\r\n")
	var problem struct {
		Type     string   `json:"type"`
		Status   int      `json:"status"`
		Violated []string `json:"violated-policies"`
	}
	if err := json.Unmarshal([]byte(body), &problem); err != nil || problem.Type != "https://iana.org/assignments/http-problem-types#quota-exceeded" || problem.Status != 429 ||
		len(problem.Violated) != 1 || problem.Violated[0] != "hour" {
		t.Errorf("body %s: %+v, %v", body, problem, err)
	}
	g.backend.none(t)
	if answer := g.get("fluffy-friends.pets.test", "/"); status(answer) != "200" {
		t.Errorf("another tenant: %s", answer)
	}
}

func TestOneTenantHasOneBucketHoweverItIsNamed(t *testing.T) {
	g := newGateway(t, appOptions, strings.Replace(limited, "tenant host pets.test", "tenant {\nhost pets.test\nheader\npath\n}", 1))
	ways := []func() string{
		func() string { return g.get("acme-pets.pets.test", "/acme-pets/") },
		func() string { return g.get("pets.acme.example", "/acme-pets/") },
		func() string { return g.get("x.example", "/acme-pets/") },
		func() string { return g.get("x.example", "/acme-pets/", "X-Tenant-ID: acme-pets") },
	}
	for i, way := range ways {
		if answer := way(); field(answer, "X-RateLimit-Remaining") != strconv.Itoa(4-i) {
			t.Errorf("way %d: %s", i, answer)
		}
	}
}

func TestAForgedClientAddressChangesNothing(t *testing.T) {
	g := newGateway(t, appOptions, limited)
	for i := range 5 {
		n := strconv.Itoa(i)
		answer := g.get("acme-pets.pets.test", "/", "X-Forwarded-For: 10.0.0."+n, "X-Real-IP: 10.0.0."+n, "True-Client-IP: 10.0.0."+n)
		if field(answer, "X-RateLimit-Remaining") != strconv.Itoa(4-i) {
			t.Fatalf("request %d: %s", i, answer)
		}
	}
}

func TestCountersSurviveReloadsAlsoOnesThatFail(t *testing.T) {
	g := newGateway(t, appOptions, limited)
	spend := func(left string) {
		t.Helper()
		if answer := g.get("acme-pets.pets.test", "/"); field(answer, "X-RateLimit-Remaining") != left {
			t.Errorf("want %s left: %s", left, answer)
		}
	}
	spend("4")
	if err := g.load(appOptions, limited+"\nheader X-New 1"); err != nil {
		t.Fatal(err)
	}
	spend("3")
	if err := g.load(appOptions+"\ndefault_plan nonsense", limited); err == nil {
		t.Fatal("a default plan that is not there was accepted")
	}
	spend("2")
	// A plan changes at once and what was used stays used.
	if err := g.load(strings.Replace(appOptions, "5/1h", "50/1h", 1), limited); err != nil {
		t.Fatal(err)
	}
	spend("46")
}

func TestATenantsOwnLimitsReplaceItsPlans(t *testing.T) {
	g := newGateway(t, appOptions, limited)
	g.write("tenants.json", `{"tenants":[{"id":"t1","slug":"acme-pets","plan":"free","status":"active","limits":"77/1h 7/1m"}]}`)
	eventually(t, "the tenant's own limits are in force", func() bool {
		return field(g.get("acme-pets.pets.test", "/"), "X-RateLimit-Limit") == "77"
	})
	if answer := g.get("acme-pets.pets.test", "/"); field(answer, "RateLimit-Policy") != `"hour";q=77;w=3600, "minute";q=7;w=60` {
		t.Error(answer)
	}
}

func TestATenantOnAnUnknownPlanIsRefusedAndNotLetThrough(t *testing.T) {
	g := newGateway(t, appOptions, limited)
	if answer := g.get("lost.pets.test", "/"); status(answer) != "503" || field(answer, "Retry-After") == "" {
		t.Error(answer)
	}
	g.backend.none(t)
	if err := g.load(appOptions+"\ndefault_plan premium", limited); err != nil {
		t.Fatal(err)
	}
	g.write("tenants.json", `{"tenants":[{"slug":"planless"}]}`)
	eventually(t, "a tenant without a plan has the default one", func() bool {
		return field(g.get("planless.pets.test", "/"), "X-RateLimit-Limit") == "1000"
	})
}

func TestTheCostOfARequestIsConfigurable(t *testing.T) {
	g := newGateway(t, appOptions, strings.Replace(limited, "tenant_rate_limit", "tenant_rate_limit {\ncost 3\n}", 1))
	if answer := g.get("acme-pets.pets.test", "/"); field(answer, "X-RateLimit-Remaining") != "2" {
		t.Error(answer)
	}
	if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "429" {
		t.Error(answer)
	}
}

func TestTheClientBehindATrustedProxyIsTheRightmostUntrustedOne(t *testing.T) {
	g := newGateway(t, appOptions, `
	tenant host pets.test
	tenant_rate_limit
	reverse_proxy {backend}`)
	cf := strings.Replace(g.caddyfile(appOptions, limited), "grace_period 1ns", "grace_period 1ns\nservers {\ntrusted_proxies static 127.0.0.1/32\ntrusted_proxies_strict\n}", 1)
	if err := g.loadFile(cf); err != nil {
		t.Fatal(err)
	}
	for i, test := range []struct{ forwarded, left string }{
		{"6.6.6.6, 203.0.113.7", "4"},
		{"9.9.9.9, 203.0.113.7", "3"}, // what stands left of it is the client's own claim
		{"203.0.113.8", "4"},
		{"2001:db8:0:1::1", "4"},
		{"2001:db8:0:1::2", "3"}, // one /64 is one client
		{"2001:db8:0:2::1", "4"},
	} {
		answer := g.get("acme-pets.pets.test", "/", "X-Forwarded-For: "+test.forwarded)
		if field(answer, "X-RateLimit-Remaining") != test.left {
			t.Errorf("request %d from %s: %s", i, test.forwarded, answer)
		}
	}
}

func TestReloadsLeakNothing(t *testing.T) {
	g := newGateway(t, appOptions, fullSite)
	files := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	// Both counts are taken with a site that has no connection to a backend:
	// one that is idle there has goroutines at either end.
	rest := func() {
		t.Helper()
		if err := g.load(appOptions, "tenant host pets.test\ntenant_rate_limit\nrespond ok"); err != nil {
			t.Fatal(err)
		}
		g.backend.server.CloseClientConnections()
		runtime.GC()
	}
	reloads := func(n int) {
		t.Helper()
		for i := range n {
			site := fullSite + "\nheader X-Load " + strconv.Itoa(i)
			if err := g.load(appOptions, site); err != nil {
				t.Fatal(err)
			}
			g.get("fluffy-friends.pets.test", "/")
			if i%10 == 0 {
				_ = g.load(appOptions+"\ndefault_plan nonsense", site)
			}
		}
		rest()
	}
	reloads(10) // whatever is made once is made now
	var goroutines, open int
	eventually(t, "the counts have settled", func() bool {
		before, had := goroutines, open
		time.Sleep(100 * time.Millisecond)
		goroutines, open = runtime.NumGoroutine(), files()
		return goroutines == before && open == had
	})
	reloads(100)
	eventually(t, "goroutines and files are as many as before", func() bool {
		return runtime.NumGoroutine() <= goroutines+2 && files() <= open+2
	})
}

func TestValidatingAConfigurationWritesNothing(t *testing.T) {
	g := newGateway(t, appOptions, limited)
	dir := t.TempDir()
	options := strings.Replace(strings.ReplaceAll(appOptions, "{dir}", dir), dir+"/tenants.json", "{dir}/tenants.json", 1)
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := g.validate(options, fullSite); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestTheFirstRequestsWaitForTheFirstListOfTenants(t *testing.T) {
	g := newGateway(t, appOptions, limited)
	later := strings.Replace(appOptions, "tenants.json", "later.json", 1)
	// While a gateway serves, a source that can't be read is a mistake.
	if err := g.load(later, limited); err == nil || !strings.Contains(err.Error(), "the tenants can't be read") || !strings.Contains(err.Error(), "later.json") {
		t.Errorf("reloading with a source that is not there: %v", err)
	}
	if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "200" {
		t.Errorf("after that: %s", answer)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := g.load(later, limited); err != nil {
		t.Fatal(err)
	}
	if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "503" || field(answer, "Retry-After") == "" {
		t.Errorf("before the first list: %s", answer)
	}
	g.write("later.json", tenantsJSON)
	eventually(t, "the tenants are served when their list is there", func() bool {
		return status(g.get("acme-pets.pets.test", "/")) == "200"
	})
}
