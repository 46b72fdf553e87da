package attacks

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// patience ends a connection that the server keeps open, so that a test says
// so and not its deadline.
const patience = 20 * time.Second

const (
	acme, fluffy = harness.Acme, harness.Fluffy
	acmeHost     = acme + "." + harness.Domain
	fluffyHost   = fluffy + "." + harness.Domain
)

// target is the product under attack, in front of a recorder.
type target struct {
	*harness.Stack
	t   testing.TB
	rec *harness.Recorder
	// refusal is the common answer to a request of no tenant, without its date.
	refusal string
}

// newTarget starts the repository's Caddyfile, edited; nil only gives tenants
// more requests than the cases need.
func newTarget(t testing.TB, edit func(string) string) *target {
	t.Helper()
	if edit == nil {
		edit = roomy(t)
	}
	rec := harness.StartRecorder(t)
	stack := harness.StartStack(t, harness.Options{Recorder: rec, Caddyfile: edit})
	g := &target{Stack: stack, t: t, rec: rec}
	g.refusal = g.send("nobody.petstore.localhost", get("/", "Host: nobody.petstore.localhost"))
	if s := statusOf(g.refusal); s != "404" && s != "401" { // 401 where all must have a token
		t.Fatalf("an unknown tenant gets %q, want 404", g.refusal)
	}
	rec.Reset() // the harness's own request
	return g
}

// replace edits the Caddyfile and fails the test if there is nothing to edit.
func replace(t testing.TB, pairs ...string) func(string) string {
	return func(text string) string { return harness.Edit(t, text, pairs...) }
}

// everyWay makes all three ways to name a tenant count: host and header on the
// tenants' subdomains, path and header on the domain itself.
func everyWay(t testing.TB) func(string) string {
	return func(text string) string {
		text = roomy(t)(text)
		text = replace(t, "tenant host petstore.localhost", "tenant {\n\t\thost petstore.localhost\n\t\theader X-Tenant-ID\n\t}")(text)
		return text + `
petstore.localhost {
	tls internal
	tenant {
		path
		header X-Tenant-ID
	}
	tenant_rate_limit
	tenant_identity
	reverse_proxy 127.0.0.1:{$BACKEND_PORT}
}
`
	}
}

// roomy lifts the limit of the tenant that most cases use, and lets a client
// guess as often as the cases do.
func roomy(t testing.TB) func(string) string {
	return replace(t, "plan free 100/1h", "plan free 1000000/1h", "audit file data/audit.jsonl", "audit file data/audit.jsonl\n\t\tguesses off")
}

// get is a GET request with these lines and one that ends the connection.
func get(path string, lines ...string) string { return request("GET", path, lines...) }

func request(method, path string, lines ...string) string {
	return method + " " + path + " HTTP/1.1\r\n" + strings.Join(append(lines, "Connection: close"), "\r\n") + "\r\n\r\n"
}

// send sends bytes over TLS under the server name and returns all that comes
// back, without Date lines. A connection that is closed without an answer
// gives "".
func (g *target) send(serverName, text string) string {
	g.t.Helper()
	conn, err := tls.Dial("tcp", g.address(), &tls.Config{
		ServerName: serverName, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"},
	})
	if err != nil {
		g.t.Fatalf("connecting as %q: %v", serverName, err)
	}
	return g.exchange(conn, text)
}

// sendPlain is send without TLS, to a target made by plain.
func (g *target) sendPlain(text string) string {
	g.t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(g.HTTP)))
	if err != nil {
		g.t.Fatalf("connecting: %v", err)
	}
	return g.exchange(conn, text)
}

// plain serves tenants without TLS too, where no server name says anything
// about the host.
func plain(t testing.TB) func(string) string {
	return func(text string) string {
		return replace(t, "redir https://{host}:{$HTTPS_PORT:8443}{uri} 308", "import gateway",
			"skip_install_trust", "skip_install_trust\n\tauto_https disable_redirects")(roomy(t)(text))
	}
}

func (g *target) exchange(conn net.Conn, text string) string {
	g.t.Helper()
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	io.WriteString(conn, text) // the server may have closed before the end
	answer, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		g.t.Fatalf("still open after %v: %.200q; answered %q", patience, text, answer)
	}
	lines := bytes.SplitAfter(answer, []byte("\r\n"))
	kept := lines[:0]
	for _, line := range lines {
		if !bytes.HasPrefix(line, []byte("Date: ")) {
			kept = append(kept, line)
		}
	}
	return string(bytes.Join(kept, nil))
}

func (g *target) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(g.HTTPS)) }

func statusOf(answer string) string {
	version, rest, _ := strings.Cut(answer, " ")
	if version != "HTTP/1.1" && version != "HTTP/1.0" {
		return ""
	}
	code, _, _ := strings.Cut(rest, " ")
	return code
}

func fieldOf(answer, name string) string {
	head, _, _ := strings.Cut(answer, "\r\n\r\n")
	for line := range strings.SplitSeq(head, "\r\n") {
		if n, v, _ := strings.Cut(line, ": "); strings.EqualFold(n, name) {
			return v
		}
	}
	return ""
}

// refused asserts that the answer is none of a tenant's, and that the backend
// saw nothing: the common 404, or what the server says before any module runs.
func (g *target) refused(name, answer string) {
	g.t.Helper()
	if s := statusOf(answer); s == "404" && !g.common(answer) {
		g.t.Errorf("%s: a 404 that is not the common one:\n%s\nwant\n%s", name, answer, g.refusal)
	} else if s != "404" && s != "400" && s != "405" && s != "421" && s != "431" && answer != "" {
		g.t.Errorf("%s: answered %.300q, want a refusal", name, answer)
	}
	g.nothing(name)
}

// common reports whether a 404 is the common one: the same bytes, but for what
// HEAD leaves out and HTTP/1.0 says otherwise.
func (g *target) common(answer string) bool {
	if strings.HasSuffix(answer, "\r\n\r\n") {
		answer += g.refusal[strings.Index(g.refusal, "\r\n\r\n")+4:]
	}
	answer = strings.Replace(answer, "HTTP/1.0 404 Not Found\r\n", "HTTP/1.1 404 Not Found\r\n", 1)
	return hopless(answer) == hopless(g.refusal)
}

// hopless is an answer without what is said about the connection.
func hopless(answer string) string {
	lines := strings.SplitAfter(answer, "\r\n")
	kept := lines[:0]
	for _, line := range lines {
		if !strings.HasPrefix(line, "Connection: ") && !strings.HasPrefix(line, "Alt-Svc: ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// nothing asserts that the backend saw nothing since the last look.
func (g *target) nothing(name string) {
	g.t.Helper()
	for _, r := range g.rec.Requests() {
		g.t.Errorf("%s: the backend saw %s %s %v", name, r.Method, r.RequestURI, r.Header)
	}
	g.rec.Reset()
}

// served asserts a 200, that the backend saw exactly one request, that it was
// the tenant's by the signed identity and the plain header, and that no byte
// of it names the other tenant. It returns what the backend saw.
func (g *target) served(name, answer, slug string) *http.Request {
	g.t.Helper()
	defer g.rec.Reset()
	if statusOf(answer) != "200" {
		g.t.Errorf("%s: answered %.300q, want 200", name, answer)
		g.nothing(name)
		return nil
	}
	requests := g.rec.Requests()
	if len(requests) != 1 {
		g.t.Errorf("%s: the backend saw %d requests, want 1", name, len(requests))
		return nil
	}
	g.belongs(name, requests[0], slug)
	other := fluffy
	if slug == fluffy {
		other = acme
	}
	if strings.Contains(strings.ToLower(g.rec.Bytes()), other) {
		g.t.Errorf("%s: the other tenant's name reached the backend:\n%s", name, g.rec.Bytes())
	}
	return requests[0]
}

// belongs asserts that all a request says about its tenant is the slug.
func (g *target) belongs(name string, r *http.Request, slug string) {
	g.t.Helper()
	if got := r.Header.Values(identity.HeaderTenant); len(got) != 1 || got[0] != slug {
		g.t.Errorf("%s: the backend got %s %q, want %q", name, identity.HeaderTenant, got, slug)
	}
	values := r.Header.Values(identity.HeaderName)
	if len(values) != 1 {
		g.t.Errorf("%s: the backend got %d identities", name, len(values))
		return
	}
	v := identity.NewVerifier(identity.VerifierOptions{Keys: identity.FileKeys(g.Path("data/identity.jwks.json"))})
	if claims, err := v.Verify(values[0], time.Now()); err != nil || claims.Tenant.String() != slug {
		g.t.Errorf("%s: the identity says %q, %v; want %q", name, claims.Tenant, err, slug)
	}
}

// less returns a decimal number less one.
func less(t testing.TB, number string) string {
	t.Helper()
	n, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("expected a number, got %q", number)
	}
	return strconv.Itoa(n - 1)
}

// audit waits for the recorder to write and returns the audit file.
func (g *target) audit() string {
	g.t.Helper()
	path := g.Path("data/audit.jsonl")
	harness.Eventually(g.t, patience, "an audit record", func() bool {
		b, err := os.ReadFile(path)
		return err == nil && len(b) > 0
	})
	return g.Read("data/audit.jsonl")
}

// rawAdmin sends bytes to the gateway's admin interface.
func (g *target) rawAdmin(text string) string {
	g.t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(g.Admin)))
	if err != nil {
		g.t.Fatalf("connecting: %v", err)
	}
	return g.exchange(conn, text)
}

// abort sends bytes and closes the connection.
func (g *target) abort(serverName, text string) {
	g.t.Helper()
	conn, err := tls.Dial("tcp", g.address(), &tls.Config{ServerName: serverName, InsecureSkipVerify: true})
	if err != nil {
		g.t.Fatalf("connecting as %q: %v", serverName, err)
	}
	io.WriteString(conn, text)
	conn.Close()
}
