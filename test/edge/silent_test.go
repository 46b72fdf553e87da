package edge

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

var suspendAcme = strings.Replace(tenantsJSON, `"slug":"acme-pets"`, `"slug":"acme-pets","status":"suspended"`, 1)

// A stream whose client says nothing, as in gRPC with messages in both directions, lasts
// for as long as its tenant: no clock ends it, and suspending the tenant does.
func TestASilentStreamEndsWithItsTenantOnly(t *testing.T) {
	readEnds := make(chan error, len(protocols))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: patience, Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		_ = http.NewResponseController(w).Flush()
		if r.Method == http.MethodPost {
			_, err := io.Copy(io.Discard, r.Body)
			readEnds <- err
		}
	})}
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	g := startGateway(t, "", strings.Replace(options(), "servers {", "servers {\ntimeouts {\nread_body_idle 1s\n}", 1)+tenantSite("h2c://"+l.Addr().String()))
	servedAt(t, g.https, "acme-pets.petstore.test", "/")

	ended := make(map[string]chan error)
	for _, protocol := range []string{"h2", "h3"} {
		body, silent := io.Pipe()
		t.Cleanup(func() { silent.Close() })
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://acme-pets.petstore.test/", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/grpc")
		res, err := connect(t, g.https, protocol, "acme-pets.petstore.test").send(r)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v, %v", protocol, res, err)
		}
		c := make(chan error, 1)
		ended[protocol] = c
		go func() {
			_, err := io.Copy(io.Discard, res.Body)
			c <- err
		}()
	}
	// Twice as long as other clients may be silent.
	for quiet := time.After(2 * time.Second); quiet != nil; {
		select {
		case err := <-readEnds:
			t.Fatalf("a stream ended for silence: %v", err)
		case <-quiet:
			quiet = nil
		}
	}
	write(t, g.path("tenants.json"), suspendAcme)
	for protocol, c := range ended {
		select {
		case err := <-c:
			if err == nil {
				t.Errorf("%s: the answer ended as if it were whole", protocol)
			}
		case <-time.After(patience):
			t.Errorf("%s: the answer goes on", protocol)
		}
		select {
		case <-readEnds:
		case <-time.After(patience):
			t.Errorf("a request to the backend goes on")
		}
	}
}

// What Caddy sends from a file goes past Write.
func TestADownloadOfAFileEndsWithItsTenant(t *testing.T) {
	g := startGateway(t, "", options()+lines("*.petstore.test {", "tls internal", "tenant host petstore.test", "root files", "file_server", "}"))
	if err := os.Mkdir(g.path("files"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, g.path("files/small"), "x")
	write(t, g.path("files/large"), "")
	if err := os.Truncate(g.path("files/large"), 8<<30); err != nil {
		t.Fatal(err)
	}
	servedAt(t, g.https, "acme-pets.petstore.test", "/small")
	open := make(map[string]io.Reader)
	for _, protocol := range protocols {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://acme-pets.petstore.test/large", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := connect(t, g.https, protocol, "acme-pets.petstore.test").send(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(res.Body, make([]byte, 1)); err != nil {
			t.Fatalf("%s: the first byte: %v", protocol, err)
		}
		open[protocol] = res.Body
	}
	write(t, g.path("tenants.json"), suspendAcme)
	harness.Eventually(t, patience, "the tenant to be suspended", func() bool {
		a, err := connect(t, g.https, "h2", "acme-pets.petstore.test").try("acme-pets.petstore.test", "/small")
		return err == nil && a.status == http.StatusNotFound
	})
	for protocol, body := range open {
		t.Run(protocol, func(t *testing.T) {
			if n, err := io.Copy(io.Discard, io.LimitReader(body, 1<<30)); err == nil {
				t.Errorf("%d bytes more came, and no end", n)
			}
		})
	}
}

// A backend that answers an upload before it has read all of it, and reads on, gets all.
func TestAnUploadToABackendThatAnswersEarlyIsWhole(t *testing.T) {
	const size = 12 << 20
	backend := listenBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := http.NewResponseController(w)
		_ = out.EnableFullDuplex()
		if r.Method != http.MethodPost {
			return
		}
		_, _ = io.WriteString(w, "early\n")
		_ = out.Flush()
		position, wrong := 0, 0
		buffer := make([]byte, 32<<10)
		for {
			n, err := r.Body.Read(buffer)
			for _, b := range buffer[:n] {
				if b != byte(position%251) {
					wrong++
				}
				position++
			}
			if err != nil {
				_, _ = fmt.Fprintf(w, "%d bytes, %d wrong, %v\n", position, wrong, err)
				return
			}
		}
	}))
	// For HTTP/1.1 it would take enable_full_duplex, with which a client can end the
	// process: Go's server panics on an upload that is read when its answer is over.
	text, err := os.ReadFile(harness.Root(t) + "/Caddyfile")
	if err != nil || strings.Contains(string(text), "enable_full_duplex") {
		t.Errorf("the shipped Caddyfile has enable_full_duplex: %v", err)
	}
	g := startGateway(t, "", options()+tenantSite(backend))
	servedAt(t, g.https, "acme-pets.petstore.test", "/")
	for _, protocol := range []string{"h2", "h3"} {
		t.Run(protocol, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			body := make([]byte, size)
			for i := range body {
				body[i] = byte(i % 251)
			}
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://acme-pets.petstore.test/", strings.NewReader(string(body)))
			if err != nil {
				t.Fatal(err)
			}
			res, err := connect(t, g.https, protocol, "acme-pets.petstore.test").send(r)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(res.Body)
			if want := fmt.Sprintf("early\n%d bytes, 0 wrong, EOF\n", size); string(answer) != want || err != nil {
				t.Errorf("the backend says %q, %v; want %q", answer, err, want)
			}
		})
	}
}
