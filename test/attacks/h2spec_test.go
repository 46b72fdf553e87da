package attacks

import (
	"encoding/xml"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// The tool h2spec tries what a server must do by RFC 7540 and RFC 7541. Caddy
// alone does not pass all of it; with a gateway's handlers before the answer it
// must not pass less. Some cases are a matter of time on a busy machine, so that
// one counts as passed that passes once in a few runs, for both.
func TestHTTP2IsServedNoWorseThanByCaddyAlone(t *testing.T) {
	alone := harness.FreePort(t)
	g := newTarget(t, func(text string) string {
		text = replace(t, "skip_install_trust", "skip_install_trust\n\tdefault_sni 127.0.0.1")(roomy(t)(text))
		// The tool knows its target by address only.
		return text + fmt.Sprintf(`
https://127.0.0.1 {
	tls internal
	tenant path
	tenant_auth {
		jwks http://127.0.0.1:{$BACKEND_PORT}/.well-known/jwks.json
		api_keys
		optional
	}
	tenant_rate_limit
	tenant_identity
	reverse_proxy 127.0.0.1:{$BACKEND_PORT}
}
https://127.0.0.1:%d {
	tls internal
	respond "recorded"
}
`, alone)
	})
	tool := filepath.Join(t.TempDir(), "h2spec")
	build := exec.Command("go", "build", "-C", filepath.Join(harness.Root(t), "test/tools/h2spec"), "-o", tool, "github.com/summerwind/h2spec/cmd/h2spec")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building h2spec: %v\n%s", err, out)
	}
	stock, ours := map[string]bool{}, map[string]bool{}
	for range 3 {
		var both sync.WaitGroup
		both.Go(func() { conformance(t, tool, alone, "/", stock) })
		both.Go(func() { conformance(t, tool, g.HTTPS, "/"+acme+"/", ours) })
		both.Wait()
		if missing(stock, ours) == nil {
			break
		}
	}
	if len(stock) < 100 || len(ours) != len(stock) {
		t.Fatalf("the tool tried %d cases on Caddy alone and %d here; want the same hundred or more", len(stock), len(ours))
	}
	for _, name := range missing(stock, ours) {
		t.Errorf("Caddy alone passes, and the gateway does not: %s", name)
	}
	t.Logf("of %d cases Caddy alone passes %d, the gateway %d", len(stock), passes(stock), passes(ours))
	for _, r := range g.rec.Requests() {
		g.belongs("h2spec", r, acme)
	}
	if len(g.rec.Requests()) == 0 {
		t.Error("the tool's requests did not reach the backend")
	}
}

// conformance runs the tool and notes for each case whether it has passed yet.
func conformance(t *testing.T, tool string, port int, path string, passed map[string]bool) {
	report := filepath.Join(t.TempDir(), "report.xml")
	// It fails when a case does.
	out, err := exec.Command(tool, "-h", "127.0.0.1", "-p", fmt.Sprint(port), "-t", "-k", "-P", path, "-j", report).CombinedOutput()
	b, unread := os.ReadFile(report)
	var suites struct {
		Suite []struct {
			Part string `xml:"package,attr"`
			Case []struct {
				Name  string  `xml:"classname,attr"`
				Error *string `xml:"error"`
				Fail  *string `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if unread == nil {
		unread = xml.Unmarshal(b, &suites)
	}
	if unread != nil {
		t.Errorf("running h2spec: %v, %v\n%s", err, unread, out)
		return
	}
	for _, s := range suites.Suite {
		for i, c := range s.Case {
			name := fmt.Sprintf("%s/%d: %s", s.Part, i+1, c.Name)
			passed[name] = passed[name] || c.Error == nil && c.Fail == nil
		}
	}
}

func missing(stock, ours map[string]bool) (list []string) {
	for name, passed := range stock {
		if passed && !ours[name] {
			list = append(list, name)
		}
	}
	return list
}

func passes(cases map[string]bool) int {
	passed := maps.Clone(cases)
	maps.DeleteFunc(passed, func(_ string, ok bool) bool { return !ok })
	return len(passed)
}
