package caddymodule_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/admin"
)

// scrape returns the configuration's metrics of this package, as text.
func (g *gateway) scrape() map[string]float64 {
	g.t.Helper()
	ctx := caddy.ActiveContext()
	families, err := ctx.GetMetricsRegistry().Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	out := make(map[string]float64)
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "caddy_tenancy_") {
			continue
		}
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			name := strings.TrimPrefix(family.GetName(), "caddy_tenancy_") + "{" + strings.Join(labels, ",") + "}"
			out[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return out
}

// Alerts that ask for a metric nobody has would be quiet for good.
func TestAlertsAskForMetricsAndLabelsThatThereAre(t *testing.T) {
	rules, err := os.ReadFile("../deploy/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	descs := make(chan *prometheus.Desc, 10_000)
	newGateway(t, appOptions, fullSite)
	ctx := caddy.ActiveContext()
	ctx.GetMetricsRegistry().Describe(descs)
	close(descs)
	known := make(map[string]bool)
	for d := range descs {
		known[regexp.MustCompile(`fqName: "(\w+)"`).FindStringSubmatch(d.String())[1]] = true
	}
	asked := regexp.MustCompile(`caddy_tenancy_\w+`).FindAllString(string(rules), -1)
	if len(asked) == 0 {
		t.Fatal("the alerts ask for nothing")
	}
	for _, name := range asked {
		if !known[name] {
			t.Errorf("the alerts ask for %q, which is not there", name)
		}
	}
	for _, m := range regexp.MustCompile(`decision="(\w+)"`).FindAllStringSubmatch(string(rules), -1) {
		if !slices.Contains([]string{"allowed", "refused", "degraded", "unavailable", "no_plan"}, m[1]) {
			t.Errorf("there is no decision %q", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`status="(\w+)"`).FindAllStringSubmatch(string(rules), -1) {
		if !slices.Contains([]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}, m[1]) {
			t.Errorf("there is no class %q", m[1])
		}
	}
}

func TestRequestsAreCountedByTenantPlanAndStatusOverReloads(t *testing.T) {
	g := newGateway(t, appOptions, limited)
	before := g.scrape()
	for range 7 {
		g.get("acme-pets.pets.test", "/")
	}
	if err := g.load(appOptions, limited+"\nheader X-New 1"); err != nil {
		t.Fatal(err)
	}
	g.get("acme-pets.pets.test", "/")
	g.get("nobody.pets.test", "/")
	after := g.scrape()
	for name, want := range map[string]float64{
		"requests_total{plan=free,status=2xx,tenant=acme-pets}":                   5,
		"requests_total{plan=free,status=4xx,tenant=acme-pets}":                   3,
		"rate_limit_decisions_total{decision=allowed,plan=free,tenant=acme-pets}": 5,
		"rate_limit_decisions_total{decision=refused,plan=free,tenant=acme-pets}": 3,
		"request_duration_seconds{plan=free}":                                     8,
		"rejected_requests_total{reason=unknown}":                                 1,
	} {
		if got := after[name] - before[name]; got != want {
			t.Errorf("%s: %v more; want %v", name, got, want)
		}
	}
	if after["registry_tenants{}"] != 4 || after["registry_hosts{}"] != 2 {
		t.Errorf("registry: %v tenants, %v hosts", after["registry_tenants{}"], after["registry_hosts{}"])
	}
}

func TestMadeUpNamesMakeNoSeries(t *testing.T) {
	g := newGateway(t, appOptions, limited)
	g.get("nobody.pets.test", "/")
	before := len(g.scrape())
	for i := range 200 {
		g.raw(fmt.Sprintf("M%d /%d HTTP/1.1\r\nHost: n%d.pets.test\r\nX-Tenant-ID: t%d\r\nConnection: close\r\n\r\n", i, i, i, i))
	}
	if after := len(g.scrape()); after != before {
		t.Errorf("%d series became %d", before, after)
	}
}

func TestTenantsBeyondTheCapShareOneSeries(t *testing.T) {
	var list strings.Builder
	for i := range 20 {
		fmt.Fprintf(&list, `,{"slug":"many-%d","plan":"free","status":"active"}`, i)
	}
	g := newGateway(t, appOptions+"\nmax_tenant_series 3", limited)
	g.write("tenants.json", `{"tenants":[{"slug":"first","plan":"free","status":"active"}`+list.String()+`]}`)
	eventually(t, "the tenants are there and the others' series gone", func() bool {
		return status(g.get("first.pets.test", "/")) == "200"
	})
	for i := range 20 {
		g.get(fmt.Sprintf("many-%d.pets.test", i), "/")
	}
	tenants := make(map[string]bool)
	var all float64
	for name, n := range g.scrape() {
		if _, label, ok := strings.Cut(name, "tenant="); ok && strings.HasPrefix(name, "requests_total") && (strings.Contains(label, "many") || strings.Contains(label, "_other")) {
			tenants[label] = true
			all += n
		}
	}
	if len(tenants) > 4 || !tenants["_other}"] || all < 20 {
		t.Errorf("%d requests under %v", int(all), tenants)
	}
	g.write("tenants.json", tenantsJSON)
	eventually(t, "removed tenants have no series", func() bool {
		for name := range g.scrape() {
			if strings.Contains(name, "tenant=many") {
				return false
			}
		}
		return true
	})
}

func TestMetricsFollowTheNamingRules(t *testing.T) {
	g := newGateway(t, appOptions, limited)
	g.get("acme-pets.pets.test", "/")
	ctx := caddy.ActiveContext()
	problems, err := testutil.GatherAndLint(ctx.GetMetricsRegistry())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "caddy_tenancy_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestTheAdminAPIShowsTenantsAndExplainsHosts(t *testing.T) {
	g := newGateway(t, appOptions, limited)
	mux := http.NewServeMux()
	for _, route := range new(admin.Admin).Routes() {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := route.Handler.ServeHTTP(w, r); err != nil {
				if api, ok := err.(caddy.APIError); ok { //nolint:errorlint // as Caddy's admin does
					w.WriteHeader(api.HTTPStatus)
				}
				fmt.Fprint(w, err)
			}
		})
	}
	ask := func(method, target string) (int, string) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(method, target, nil))
		return w.Code, w.Body.String()
	}
	for _, test := range []struct {
		method, target string
		code           int
		want           []string
	}{
		{"GET", "/tenancy/tenants", 200, []string{`"acme-pets"`, `"sleepy"`, `tenants.json`, `plan \"gone\" is not configured`}},
		{"GET", "/tenancy/tenants/acme-pets", 200, []string{`"quota": 5`, `"pets.acme.example"`}},
		{"GET", "/tenancy/tenants/nobody", 404, []string{"no such tenant"}},
		{"GET", "/tenancy/tenants/A%2FB", 400, []string{"lower-case"}},
		{"GET", "/tenancy/explain?base=pets.test&host=ACME-pets.pets.test:1", 200, []string{`"served": true`, `"acme-pets"`}},
		{"GET", "/tenancy/explain?base=pets.test&host=sleepy.pets.test", 200, []string{`"served": false`, `"reason": "inactive"`}},
		{"GET", "/tenancy/explain?base=pets.test&host=a.b.pets.test", 200, []string{`"reason": "malformed"`}},
		{"GET", "/tenancy/explain", 400, []string{"expected ?base=DOMAIN&host=HOST"}},
		{"POST", "/tenancy/refresh", 200, []string{`"tenants": 4`}},
	} {
		code, body := ask(test.method, test.target)
		if code != test.code {
			t.Errorf("%s: %d %s", test.target, code, body)
		}
		for _, want := range test.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s: %s; want %s", test.target, body, want)
			}
		}
	}
	g.backend.none(t)
}
