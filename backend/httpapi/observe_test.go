package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestMetricsHaveLabelsOfVerifiedTenantsOnly(t *testing.T) {
	w := newWorld(t)
	w.addPet("acme", "Rex")
	for i := range 300 {
		w.do(fmt.Sprint("M", i), fmt.Sprint("/made/up/", i), "", with("X-Tenant-ID", fmt.Sprint("t", i)))
		w.do("GET", fmt.Sprint("/api/pets/", i), "", with("Tenant-Identity", fmt.Sprint("x", i)))
		w.do("GET", fmt.Sprint("/api/pets/p", i), "", w.as("acme"))
	}
	series := 0
	for line := range strings.Lines(w.expect(200, w.do("GET", "/metrics", "")).body) {
		if strings.HasPrefix(line, "api_requests_total{") {
			series++
			if !strings.Contains(line, `tenant="acme"`) && !strings.Contains(line, `tenant="_none"`) {
				t.Errorf("unexpected series %s", line)
			}
		}
	}
	if series == 0 || series > 8 {
		t.Errorf("got %d series of api_requests_total, expected a handful", series)
	}
	body := w.expect(200, w.do("GET", "/metrics", "")).body
	want := `api_requests_total{endpoint="/api/pets/{id}",method="GET",status="404",tenant="acme"} 300`
	if !strings.Contains(body, want) {
		t.Errorf("metrics lack %s", want)
	}
}

func TestTenantsBeyondTheCapShareOneSeries(t *testing.T) {
	m := newMetrics()
	for i := range maxTenantLabels {
		if got, want := m.tenantLabel(fmt.Sprint("t", i)), fmt.Sprint("t", i); got != want {
			t.Fatalf("got label %q, expected %q", got, want)
		}
	}
	if got := m.tenantLabel("one-more"); got != otherTenants {
		t.Errorf("got label %q, expected %q", got, otherTenants)
	}
	if got := m.tenantLabel("t0"); got != "t0" {
		t.Errorf("got label %q for a tenant that has one", got)
	}
}

func TestRequestLogIsOneLineOfJSONWhateverTheClientSends(t *testing.T) {
	w := newWorld(t)
	w.log.Reset()
	w.do("GET", "/api/pets/x", "", w.as("acme"), func(r *http.Request) {
		r.URL.Path = "/a\nb\x1b[31m\"" + strings.Repeat("z", 1<<16)
		r.Method = "EVIL\nMETHOD" + strings.Repeat("Q", 500)
		r.Header.Set("X-Request-ID", "a\nb")
	})
	lines := strings.Split(strings.TrimRight(w.log.String(), "\n"), "\n")
	if len(lines) != 1 || len(lines[0]) > 1000 {
		t.Fatalf("got %d lines of %d bytes: %q", len(lines), len(lines[0]), lines)
	}
	var entry map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &entry); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(lines[0], "\x1b\x00") {
		t.Errorf("control characters in %q", lines[0])
	}
	w.log.Reset()
	w.do("GET", "/api/pets", "", w.as("acme"), with("X-Request-ID", "abc-1"))
	if s := w.log.String(); !strings.Contains(s, `"tenant":"acme"`) || !strings.Contains(s, `"request_id":"abc-1"`) {
		t.Errorf("the log line %s lacks tenant or request id", s)
	}
}

func TestUnknownRoutesAndMethodsAreProblems(t *testing.T) {
	w := newWorld(t)
	w.expect(404, w.do("GET", "/", ""))
	w.expect(404, w.do("GET", "/api/pets/a/b", "", w.as("acme")))
	a := w.expect(405, w.do("DELETE", "/api/pets", "", w.as("acme")))
	if got := a.header.Get("Allow"); got != "GET, HEAD, POST" {
		t.Errorf("got Allow %q", got)
	}
	for _, target := range []string{"/healthz", "/readyz"} {
		w.expect(200, w.do("GET", target, ""))
	}
}
