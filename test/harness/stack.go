package harness

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Stack is a gateway and a pet store that run together.
type Stack struct {
	t testing.TB
	// Dir is the working folder of both: the Caddyfile and data/ are there.
	Dir string
	// The loopback ports.
	HTTPS, HTTP, Admin, Backend int
	// Gateway and Petstore are the processes.
	Gateway, Petstore *Process

	options Options
	env     []string
	client  *http.Client
	roots   *x509.CertPool
}

// Options change what is run. The zero value runs the repository's own
// Caddyfile as it stands.
type Options struct {
	// Env is added to the environment of both, as "NAME=value".
	Env []string
	// Caddyfile edits the Caddyfile's text.
	Caddyfile func(string) string
	// Recorder, if set, is what the gateway proxies to. The pet store runs all
	// the same, for its catalog of tenants.
	Recorder *Recorder
}

// Domain is the domain of the tenants in the repository's Caddyfile.
const Domain = "petstore.localhost"

// Demo tenants of the pet store, with their plans.
const (
	Acme   = "acme-pets"      // free
	Fluffy = "fluffy-friends" // basic
	Paws   = "paws-and-claws" // premium; the harness's own requests go here
)

// StartStack starts both and returns when a request passes the whole way.
func StartStack(t testing.TB, options Options) *Stack {
	t.Helper()
	caddy, petstore := Binaries(t)
	// Ports are reserved among tests; another program may still take one.
	for range 3 {
		s := prepare(t, options)
		s.Petstore = Start(t, Spec{
			Name: "petstore", Dir: s.Dir, Env: s.env,
			Command: []string{
				petstore, "serve", "--listen", fmt.Sprintf("127.0.0.1:%d", s.Backend), "--public-port", fmt.Sprint(s.HTTPS),
				"--data", "data", "--demo",
				"--upstreams-allow", "127.0.0.1", // where the tests' backends are
			},
		})
		if !s.await(s.Petstore, s.petstoreReady) {
			continue
		}
		s.Gateway = Start(t, Spec{
			Name: "caddy", Dir: s.Dir, Env: s.env,
			Command: []string{caddy, "run", "--config", "Caddyfile", "--adapter", "caddyfile"},
		})
		if s.await(s.Gateway, s.gatewayReady) {
			return s
		}
	}
	t.Fatal("starting the stack: a port was taken each time")
	return nil
}

// prepare makes the working folder and chooses the ports.
func prepare(t testing.TB, options Options) *Stack {
	t.Helper()
	s := &Stack{
		t: t, Dir: t.TempDir(), options: options,
		HTTPS: FreePort(t), HTTP: FreePort(t), Admin: FreePort(t), Backend: FreePort(t),
	}
	text, err := os.ReadFile(filepath.Join(Root(t), "Caddyfile"))
	if err == nil && options.Caddyfile != nil {
		text = []byte(options.Caddyfile(string(text)))
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(s.Dir, "Caddyfile"), text, 0o600)
	}
	if err != nil {
		t.Fatalf("preparing the stack: %v", err)
	}
	upstream := s.Backend
	if options.Recorder != nil {
		upstream = options.Recorder.Port
	}
	// Nothing of the developer's own environment: REDIS_URL may be set there.
	s.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.Dir,
		"XDG_CONFIG_HOME=" + filepath.Join(s.Dir, "config"), "XDG_DATA_HOME=" + filepath.Join(s.Dir, "share"),
		fmt.Sprintf("HTTPS_PORT=%d", s.HTTPS), fmt.Sprintf("HTTP_PORT=%d", s.HTTP),
		fmt.Sprintf("ADMIN_PORT=%d", s.Admin), fmt.Sprintf("BACKEND_PORT=%d", upstream),
	}, options.Env...)
	return s
}

// await returns true when the process is ready and false when it has ended
// because a port was taken. Anything else fails the test.
func (s *Stack) await(p *Process, ready func() bool) bool {
	s.t.Helper()
	for deadline := time.Now().Add(StartTimeout); ; time.Sleep(20 * time.Millisecond) {
		switch {
		case p.portTaken():
			return false
		case p.Ended():
			s.t.Fatalf("starting %s: it ended", p.spec.Name)
		case ready():
			return true
		case time.Now().After(deadline):
			s.t.Fatalf("starting %s: not ready within %s", p.spec.Name, StartTimeout)
		}
	}
}

func (s *Stack) petstoreReady() bool {
	res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", s.Backend))
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

func (s *Stack) gatewayReady() bool {
	res, err := s.Try(Request{Host: Host(Paws), Path: "/api/pets"})
	return err == nil && res.Status == http.StatusOK
}

// RestartGateway ends the gateway gracefully and starts it again. It returns
// when a request passes.
func (s *Stack) RestartGateway() {
	s.t.Helper()
	if status := s.Gateway.Stop(); status != 0 {
		s.t.Fatalf("stopping the gateway: exit status %d", status)
	}
	s.Gateway.Start()
	if !s.await(s.Gateway, s.gatewayReady) {
		s.t.Fatal("restarting the gateway: its port was taken meanwhile")
	}
}

// Reload loads the Caddyfile anew, as "caddy reload" does, also when it is
// unchanged. It returns what the command wrote and its error.
func (s *Stack) Reload() (string, error) {
	s.t.Helper()
	caddy, _ := Binaries(s.t)
	cmd := exec.Command(caddy, "reload", "--config", "Caddyfile", "--adapter", "caddyfile",
		"--address", fmt.Sprintf("127.0.0.1:%d", s.Admin), "--force")
	cmd.Dir, cmd.Env = s.Dir, s.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// MustReload is Reload for a Caddyfile that must load.
func (s *Stack) MustReload() {
	s.t.Helper()
	if out, err := s.Reload(); err != nil {
		s.t.Fatalf("reloading: %v\n%s", err, out)
	}
}

// Path is the path of a file below the working folder.
func (s *Stack) Path(name string) string { return filepath.Join(s.Dir, name) }

// Read returns the text of a file below the working folder.
func (s *Stack) Read(name string) string {
	s.t.Helper()
	b, err := os.ReadFile(s.Path(name))
	if err != nil {
		s.t.Fatalf("reading %q: %v", name, err)
	}
	return string(b)
}

// Environ is the environment of both programs, for further commands of theirs.
func (s *Stack) Environ() []string { return append([]string(nil), s.env...) }

// Token is a bearer token of the demo's own issuer, for a user of the tenant
// with the roles, separated by commas.
func (s *Stack) Token(slug, roles string) string {
	s.t.Helper()
	_, petstore := Binaries(s.t)
	cmd := exec.Command(petstore, "token", "--data", "data", "--tenant", slug, "--role", roles)
	cmd.Dir, cmd.Env = s.Dir, s.env
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("making a token: %v", err)
	}
	return strings.TrimSpace(string(out))
}
