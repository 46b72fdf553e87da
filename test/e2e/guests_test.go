package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// Four modules that strangers might write, each in a Go module of its own: nothing of
// ours is edited for them.
func TestGuestsAreBuiltInAndServe(t *testing.T) {
	c := copyCheckout(t)
	args := []string{"--with", "plugin.example/hello=" + filepath.Join(c.dir, "test/testdata/plugin")}
	for _, guest := range []string{"jsondir", "query", "dice", "syslog"} {
		args = append(args, "--with", "guest.example/"+guest+"="+filepath.Join(c.dir, "test/testdata/guests", guest))
	}
	out := c.build(t, args...)
	binary := filepath.Join(c.dir, "bin/caddy")
	list, err := exec.Command(binary, "list-modules").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{
		"tenancy_test.hello", "tenancy", "http.handlers.tenant", "http.handlers.reverse_proxy",
		"tenancy.sources.jsondir", "tenancy.resolvers.query", "tenancy.limiters.dice", "tenancy.sinks.syslog",
	} {
		if !strings.Contains("\n"+string(list), "\n"+id+"\n") {
			t.Errorf("bin/caddy has no module %q; the build said:\n%s", id, out)
		}
	}

	dir := t.TempDir()
	receiver, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Close()
	if err := os.Mkdir(filepath.Join(dir, "tenants"), 0o700); err != nil {
		t.Fatal(err)
	}
	for slug, record := range map[string]string{"acme": `{"plan": "free"}`, "globex": `{"plan": "free"}`} {
		if err := os.WriteFile(filepath.Join(dir, "tenants", slug+".json"), []byte(record), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	port, admin := harness.FreePort(t), harness.FreePort(t)
	caddyfile := fmt.Sprintf(`{
	admin 127.0.0.1:%d
	persist_config off
	storage file_system storage
	tenancy {
		source jsondir tenants
		limiter dice 0.5
		plan free 5/1h
		audit syslog udp %s
	}
}
http://:%d {
	bind 127.0.0.1
	tenant {
		query tenant
		host pets.test
	}
	tenant_rate_limit
	respond "tenant {tenant.slug} by {tenant.source}"
}
`, admin, receiver.LocalAddr(), port)
	if err := os.WriteFile(filepath.Join(dir, "Caddyfile"), []byte(caddyfile), 0o600); err != nil {
		t.Fatal(err)
	}
	gateway := harness.Start(t, harness.Spec{
		Name: "gateway", Dir: dir, Env: os.Environ(), Command: []string{binary, "run", "--config", "Caddyfile", "--adapter", "caddyfile"},
	})
	get := func(host, query string) (status int, body string) {
		req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/?%s", port, query), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, ""
		}
		defer res.Body.Close()
		b := make([]byte, 200)
		n, _ := res.Body.Read(b)
		return res.StatusCode, string(b[:n])
	}
	harness.Eventually(t, 30*time.Second, "the gateway answers", func() bool {
		status, _ := get("pets.test", "tenant=nobody")
		return status == http.StatusNotFound
	})

	// The source, the resolver and the limiter: some pass and some do not.
	seen := make(map[int]bool)
	for range 200 {
		status, body := get("pets.test", "tenant=acme")
		if seen[status] = true; status == http.StatusOK && body != "tenant acme by query" {
			t.Fatalf("the answer is %q", body)
		}
	}
	if !seen[http.StatusOK] || !seen[http.StatusTooManyRequests] || len(seen) != 2 {
		t.Errorf("the answers were %v; want 200 and 429", seen)
	}
	// The sink: somebody names two tenants at once.
	if status, _ := get("globex.pets.test", "tenant=acme"); status != http.StatusNotFound {
		t.Errorf("two tenants at once: %d; want 404", status)
	}
	packet := make([]byte, 4096)
	_ = receiver.SetReadDeadline(time.Now().Add(20 * time.Second))
	n, _, err := receiver.ReadFrom(packet)
	if text := string(packet[:n]); err != nil || !strings.Contains(text, "query=acme") || !strings.Contains(text, "host=globex") {
		t.Errorf("syslog received %q, %v; want both names", text, err)
	}
	if t.Failed() {
		t.Log(gateway.Log())
	}
}
