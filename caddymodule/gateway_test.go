package caddymodule_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
)

// gateway is Caddy running in this process with a configuration of the test's.
// There is one per process, so tests that use it do not run in parallel.
type gateway struct {
	t       testing.TB
	dir     string
	backend *backend
	addr    string
}

// tenantsJSON is what the gateway knows unless a test says otherwise.
const tenantsJSON = `{"tenants":[
	{"id":"t1","slug":"acme-pets","name":"Acme","plan":"free","status":"active","hosts":["pets.acme.example"]},
	{"id":"t2","slug":"fluffy-friends","name":"Fluffy","plan":"premium","status":"active"},
	{"id":"t3","slug":"sleepy","name":"Sleepy","plan":"free","status":"suspended","hosts":["sleepy.example"]},
	{"id":"t4","slug":"lost","name":"Lost","plan":"gone","status":"active"}
]}`

// app is the global option that most tests use.
const appOptions = `
	source file {dir}/tenants.json {
		interval 20ms
	}
	plan free 5/1h
	plan premium 1000/1h
	identity_key {dir}/identity.key
	audit file {dir}/audit.jsonl
	guesses off`

// fullSite has everything a site can have.
const fullSite = `
	tenant host pets.test
	tenant_rate_limit
	tenant_identity
	reverse_proxy {backend}`

// newGateway starts Caddy with the site's directives and stops it when the
// test ends. In options and site, {dir} is a temporary folder and {backend}
// the address of a backend that remembers its requests.
func newGateway(t testing.TB, options, site string) *gateway {
	t.Helper()
	g := &gateway{t: t, dir: t.TempDir(), backend: newBackend(t)}
	g.write("tenants.json", tenantsJSON)
	if err := g.load(options, site); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return g
}

func (g *gateway) caddyfile(options, site string) string {
	return strings.NewReplacer("{dir}", g.dir, "{backend}", g.backend.addr).Replace(fmt.Sprintf(`{
	admin off
	persist_config off
	auto_https off
	storage file_system {dir}/caddy
	grace_period 1ns
	log {
		output discard
	}
	tenancy {%s
	}
}
http://:0 {
	bind 127.0.0.1
	%s
}
`, options, site))
}

// load replaces the configuration.
func (g *gateway) load(options, site string) error {
	g.t.Helper()
	return g.loadFile(g.caddyfile(options, site))
}

func adapt(caddyfile string) ([]byte, error) {
	js, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	return js, err
}

// validate does what caddy validate does.
func (g *gateway) validate(options, site string) error {
	js, err := adapt(g.caddyfile(options, site))
	if err != nil {
		return err
	}
	var cfg caddy.Config
	if err := json.Unmarshal(js, &cfg); err != nil {
		return err
	}
	return caddy.Validate(&cfg)
}

// loadFile replaces the configuration by a whole Caddyfile.
func (g *gateway) loadFile(caddyfile string) error {
	js, err := adapt(caddyfile)
	if err != nil {
		return err
	}
	if err := caddy.Load(js, true); err != nil {
		return err
	}
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		return err
	}
	for _, srv := range app.(*caddyhttp.App).Servers {
		g.addr = srv.Listeners()[0].Addr().String()
	}
	return nil
}

func (g *gateway) write(name, content string) {
	g.t.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		g.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		g.t.Fatal(err)
	}
}

// raw sends bytes as they are and returns the whole answer without its Date.
func (g *gateway) raw(request string) string {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		g.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		g.t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		g.t.Fatalf("reading the answer to %q: %v", request, err)
	}
	lines := strings.Split(string(answer), "\r\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "Date: ") {
			return strings.Join(append(lines[:i:i], lines[i+1:]...), "\r\n")
		}
	}
	return string(answer)
}

// get sends one request with the Host and header lines and returns the answer
// as raw does.
func (g *gateway) get(host, path string, headers ...string) string {
	g.t.Helper()
	lines := append([]string{"GET " + path + " HTTP/1.1", "Host: " + host, "Connection: close"}, headers...)
	return g.raw(strings.Join(lines, "\r\n") + "\r\n\r\n")
}

// tryGet sends one request and reports whether the backend answered it. Caddy
// may cut connections at a reload, so that a failure here says nothing.
func tryGet(addr, host string) bool {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"); err != nil {
		return false
	}
	answer, err := io.ReadAll(conn)
	return err == nil && strings.HasSuffix(string(answer), "from the backend")
}

// status is the answer's status code, as text.
func status(answer string) string {
	_, rest, _ := strings.Cut(answer, " ")
	code, _, _ := strings.Cut(rest, " ")
	return code
}

// field returns the value of an answer's header, as sent.
func field(answer, name string) string {
	head, _, _ := strings.Cut(answer, "\r\n\r\n")
	for line := range strings.SplitSeq(head, "\r\n") {
		if n, v, _ := strings.Cut(line, ": "); strings.EqualFold(n, name) {
			return v
		}
	}
	return ""
}

// backend remembers what it was asked.
type backend struct {
	addr   string
	server *httptest.Server
	mu     sync.Mutex
	seen   []*http.Request

	forgetful bool                   // for benchmarks
	check     func(statement string) // instead of remembering
}

func newBackend(t testing.TB) *backend {
	b := new(backend)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // trailers are there when the body has been read
		b.mu.Lock()
		if b.check != nil {
			b.check(r.Header.Get(identity.HeaderName))
		} else if !b.forgetful {
			b.seen = append(b.seen, r.Clone(context.Background()))
		}
		b.mu.Unlock()
		_, _ = io.WriteString(w, "from the backend")
	}))
	t.Cleanup(srv.Close)
	b.server = srv
	b.addr = srv.Listener.Addr().String()
	return b
}

// last returns the only request that came since the last call.
func (b *backend) last(t testing.TB) *http.Request {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.seen) != 1 {
		t.Fatalf("the backend saw %d requests; want 1", len(b.seen))
	}
	r := b.seen[0]
	b.seen = nil
	return r
}

// none fails if the backend was asked since the last call.
func (b *backend) none(t testing.TB) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.seen {
		t.Errorf("the backend saw %s %s %v", r.Method, r.RequestURI, r.Header)
	}
	b.seen = nil
}

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
