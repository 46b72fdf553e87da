package caddymodule_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A backend may echo what it was told, or have limits of its own: a client must not see
// the one, nor two numbers where one counts.
func TestAnAnswerShowsNothingThatIsTheGateways(t *testing.T) {
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		for _, name := range []string{"X-Tenant-ID", "X-Tenant-Plan", "Tenant-Identity", "Tenant-Audit", "x_tenant_id"} {
			h[name] = []string{"from the backend"}
		}
		for _, name := range []string{"RateLimit", "RateLimit-Policy", "RateLimit-Limit", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-Ratelimit-Used"} {
			h[name] = []string{"7"}
		}
		h.Set("Retry-After", "9")
		h.Set("Trailer", "Tenant-Audit, X-Sum")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "from the backend")
		h.Set("Tenant-Audit", "from the backend")
		h.Set("X-Sum", "good")
		h.Set(http.TrailerPrefix+"Tenant-Identity", "from the backend")
	}))
	t.Cleanup(echo.Close)
	address := echo.Listener.Addr().String()
	for name, test := range map[string]struct {
		site      string
		own, both bool
	}{
		"proxied":          {strings.Replace(fullSite, "{backend}", address, 1), true, false},
		"with two numbers": {strings.NewReplacer("{backend}", address, "tenant_rate_limit", "tenant_rate_limit {\nkeep_upstream_fields\n}").Replace(fullSite), true, true},
		"without limits":   {strings.NewReplacer("{backend}", address, "tenant_rate_limit", "").Replace(fullSite), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, appOptions, test.site)
			hints, answer, _ := strings.Cut(g.get("fluffy-friends.pets.test", "/", "TE: trailers"), "\r\n\r\n")
			if status(hints) != "103" || strings.Contains(hints, "from the backend") {
				t.Errorf("early hints: %s", hints)
			}
			if !strings.Contains(answer, "X-Sum: good\r\n") {
				t.Errorf("the trailers are lost: %s", answer)
			}
			if status(answer) != "200" || field(answer, "Retry-After") != "9" {
				t.Fatal(answer)
			}
			for _, name := range []string{"tenant-id", "tenant_id", "tenant-plan", "tenant-identity", "tenant-audit"} {
				if strings.Contains(strings.ToLower(answer), name+": from") {
					t.Errorf("%s is shown: %s", name, answer)
				}
			}
			if has := strings.Contains(answer, ": 7\r\n"); has != test.both {
				t.Errorf("the backend's limits are shown: %v; want %v\n%s", has, test.both, answer)
			}
			if has := strings.Contains(answer, ": 999\r\n"); has != test.own {
				t.Errorf("ours are shown: %v; want %v\n%s", has, test.own, answer)
			}
		})
	}
}
