package edge

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// gateway is the built gateway with a Caddyfile of the test's. Its tenants are
// in the file tenants.json beside it.
type gateway struct {
	t                  testing.TB
	dir, binary        string
	https, http, admin int
	process            *harness.Process
}

// tenantsJSON is whom the gateway knows unless a test says otherwise.
const tenantsJSON = `{"tenants":[
	{"id":"t1","slug":"acme-pets","plan":"basic","hosts":["pets.acme.example"]},
	{"id":"t2","slug":"fluffy-friends","plan":"basic","hosts":["fluffy.example"]},
	{"id":"t3","slug":"sleepy","plan":"basic","status":"suspended","hosts":["sleepy.example"]}
]}`

// options is the head of a test's Caddyfile; more goes into the block.
func options(more ...string) string {
	return lines("{", "admin 127.0.0.1:{$ADMIN_PORT}", "persist_config off", "http_port {$HTTP_PORT}", "https_port {$HTTPS_PORT}",
		"storage file_system storage", "skip_install_trust", "servers {", "listener_wrappers {", "strict_http", "}", "}",
		"tenancy {", "source file tenants.json", "plan basic 1000000/1h",
		"identity_key identity.key", "}", strings.Join(more, "\n"), "}")
}

// tenantSite is a site for the tenants under petstore.test.
func tenantSite(upstream string) string {
	return lines("(gateway) {", "tenant {", "host petstore.test", "}", "tenant_rate_limit", "tenant_identity", "reverse_proxy "+upstream, "}",
		"*.petstore.test {", "tls internal", "import gateway", "}", "https:// {", "tls internal {", "on_demand", "}", "import gateway", "}")
}

// startGateway starts the binary, that of the checkout if it is empty, and
// waits until its admin interface answers.
func startGateway(t testing.TB, binary, caddyfile string) *gateway {
	t.Helper()
	if binary == "" {
		binary, _ = harness.Binaries(t)
	}
	g := &gateway{t: t, dir: t.TempDir(), binary: binary, https: harness.FreePort(t), http: harness.FreePort(t), admin: harness.FreePort(t)}
	write(t, g.path("tenants.json"), tenantsJSON)
	write(t, g.path("Caddyfile"), caddyfile)
	g.process = harness.Start(t, harness.Spec{
		Name: "gateway", Dir: g.dir, Env: g.env(), Command: []string{binary, "run", "--config", "Caddyfile", "--adapter", "caddyfile"},
	})
	g.awaitAdmin()
	return g
}

func (g *gateway) env() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + g.dir, "XDG_DATA_HOME=" + g.path("share"), "XDG_CONFIG_HOME=" + g.path("config"),
		fmt.Sprintf("HTTPS_PORT=%d", g.https), fmt.Sprintf("HTTP_PORT=%d", g.http), fmt.Sprintf("ADMIN_PORT=%d", g.admin),
	}
}

func (g *gateway) awaitAdmin() {
	g.t.Helper()
	harness.Eventually(g.t, harness.StartTimeout, "the gateway's admin interface", func() bool {
		if g.process.Ended() {
			g.t.Fatal("the gateway ended")
		}
		res, err := adminClient.Get(g.adminURL("/config/"))
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

func (g *gateway) adminURL(path string) string {
	return fmt.Sprintf("http://127.0.0.1:%d%s", g.admin, path)
}

func (g *gateway) path(name string) string { return filepath.Join(g.dir, name) }

// restart ends the gateway gracefully and starts it again.
func (g *gateway) restart() {
	g.t.Helper()
	if status := g.process.Stop(); status != 0 {
		g.t.Fatalf("stopping the gateway: exit status %d", status)
	}
	g.process.Start()
	g.awaitAdmin()
}

// caddy runs one of the binary's commands in the gateway's folder.
func (g *gateway) caddy(args ...string) (string, error) {
	cmd := exec.Command(g.binary, args...)
	cmd.Dir, cmd.Env = g.dir, g.env()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// certificates are the names of the files below storage/certificates.
func (g *gateway) certificates() []string {
	g.t.Helper()
	var names []string
	err := filepath.WalkDir(g.path("storage/certificates"), func(name string, d os.DirEntry, err error) error {
		if err == nil && filepath.Ext(name) == ".crt" {
			names = append(names, strings.TrimSuffix(d.Name(), ".crt"))
		}
		return nil // there is no folder before the first certificate
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return names
}
