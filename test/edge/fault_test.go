package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// faultyBackend fails each upload when a part of it has come, in the way that the
// request's path names: reset, goaway, early (a whole answer before all is read),
// stall, cut (a connection that ends in the middle of an answer's head), close.
type faultyBackend struct {
	net.Listener
	failed *sync.Map // by a request's path: a channel that hears that it has failed
}

// tell says that a request has failed.
func (b *faultyBackend) tell(path string) {
	if c, ok := b.failed.Load(path); ok {
		select {
		case c.(chan struct{}) <- struct{}{}:
		default: // it is tried again
		}
	}
}

// faultOf is the fault that a path names.
func faultOf(path string) string {
	fault, _, _ := strings.Cut(path[1:], "/")
	return fault
}

func startFaulty(t testing.TB, failed *sync.Map, h2 bool, config *tls.Config) *faultyBackend {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	b := &faultyBackend{l, failed}
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			conn := raw
			if config != nil {
				conn = tls.Server(raw, config)
			}
			if h2 {
				go b.serveH2(conn, raw.(*net.TCPConn))
			} else {
				go b.serveH1(conn, raw.(*net.TCPConn))
			}
		}
	}()
	return b
}

func (b *faultyBackend) serveH1(conn net.Conn, raw *net.TCPConn) {
	defer conn.Close()
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	_, _ = io.ReadFull(r.Body, make([]byte, 1000))
	defer b.tell(r.URL.Path) // after all: a connection that is reset is closed then
	switch faultOf(r.URL.Path) {
	case "reset":
		_ = raw.SetLinger(0)
		_ = raw.Close()
	case "goaway", "close":
		_ = conn.Close()
	case "early":
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nearly")
		b.tell(r.URL.Path)
		_, _ = io.Copy(io.Discard, conn)
	case "stall":
		b.tell(r.URL.Path)
		_, _ = io.Copy(io.Discard, conn)
	case "cut":
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Le")
		_ = conn.Close()
	}
}

func (b *faultyBackend) serveH2(conn net.Conn, raw *net.TCPConn) {
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = framer.WriteSettings()
	paths := make(map[uint32]string)
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			paths[f.StreamID] = f.PseudoValue("path")
		case *http2.DataFrame:
			path, ok := paths[f.StreamID]
			if !ok {
				continue
			}
			delete(paths, f.StreamID)
			switch faultOf(path) {
			case "reset":
				_ = framer.WriteRSTStream(f.StreamID, http2.ErrCodeInternal)
			case "goaway":
				_ = framer.WriteGoAway(0, http2.ErrCodeInternal, nil)
				_ = conn.Close()
			case "early":
				var block strings.Builder
				_ = hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "413"})
				_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: f.StreamID, BlockFragment: []byte(block.String()), EndHeaders: true, EndStream: true})
				_ = framer.WriteRSTStream(f.StreamID, http2.ErrCodeNo)
			case "cut":
				_, _ = conn.Write([]byte{0, 0, 9, 1})
				_ = conn.Close()
			case "close":
				_ = raw.SetLinger(0)
				_ = raw.Close()
			}
			b.tell(path)
		}
	}
}

// faults of a backend, and whether there is an answer of its own.
var faults = []string{"reset", "goaway", "early", "stall", "cut", "close"}

// A failure of the backend is the backend's, also during an upload: to the client, in
// what is counted against the backend, and in what is tried again, a site with `tenant`
// is as the same site without.
func TestABackendsFailureIsAsWithoutTenants(t *testing.T) {
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS()
	defer certified.Close()
	config := func(protocol string) *tls.Config {
		return &tls.Config{Certificates: certified.TLS.Certificates, NextProtos: []string{protocol}}
	}
	var failed sync.Map
	type pair struct{ plain, tenants *faultyBackend }
	kinds := map[string]struct {
		scheme, transport string
		start             func() *faultyBackend
	}{
		"h1":    {"http://", "", func() *faultyBackend { return startFaulty(t, &failed, false, nil) }},
		"h2c":   {"h2c://", "", func() *faultyBackend { return startFaulty(t, &failed, true, nil) }},
		"https": {"https://", "tls_insecure_skip_verify", func() *faultyBackend { return startFaulty(t, &failed, true, config("h2")) }},
	}
	ways := map[string]string{
		"plainly": "",
		"retried": "lb_retries 1",
	}
	pairs := map[string]pair{}
	var sites [2]strings.Builder
	for kind, k := range kinds {
		for way, more := range ways {
			name := kind + "/" + way
			p := pair{k.start(), k.start()}
			pairs[name] = p
			for i, b := range []*faultyBackend{p.plain, p.tenants} {
				fmt.Fprintf(&sites[i], "handle_path /%s/* {\nreverse_proxy %s%s {\nfail_duration 10m\nmax_fails 100000\n%s\ntransport http {\nresponse_header_timeout 300ms\nkeepalive off\n%s\n}\n}\n}\n",
					strings.ReplaceAll(name, " ", "-"), k.scheme, b.Addr(), more, k.transport)
			}
		}
	}
	g := startGateway(t, "", options()+"\n"+lines(
		"plain.test {", "tls internal", sites[0].String(), "}",
		"*.petstore.test {", "tls internal", "tenant host petstore.test", "tenant_rate_limit", "tenant_identity", sites[1].String(), "}"))
	for _, host := range []string{"plain.test", "acme-pets.petstore.test"} {
		harness.Eventually(t, harness.StartTimeout, "a certificate for "+host, func() bool {
			_, err := tryConnect(t, g.https, "h2", host)
			return err == nil
		})
	}
	for _, protocol := range protocols {
		for name := range pairs {
			for _, fault := range faults {
				t.Run(protocol+" to "+name+": "+fault, func(t *testing.T) {
					plain := g.upload(t, protocol, "plain.test", name, fault, &failed)
					tenants := g.upload(t, protocol, "acme-pets.petstore.test", name, fault, &failed)
					if plain != tenants {
						t.Errorf("status %d, without tenants %d", tenants, plain)
					}
				})
			}
		}
	}
	t.Cleanup(func() {
		for name, p := range pairs {
			if plain, tenants := g.fails(t, p.plain), g.fails(t, p.tenants); plain != tenants || plain == 0 {
				t.Errorf("%s: %d failures are counted against the backend, without tenants %d", name, tenants, plain)
			}
		}
	})
}

// upload sends a part of a body, and the rest when the backend has failed. It returns the
// answer's status, 0 if there is none.
func (g *gateway) upload(t testing.TB, protocol, host, name, fault string, failed *sync.Map) int {
	t.Helper()
	path := "/" + fault + "/" + protocol + "/" + host + "/" + strings.ReplaceAll(name, " ", "-")
	heard := make(chan struct{}, 1)
	failed.Store(path, heard)
	url := "/" + strings.ReplaceAll(name, " ", "-") + path
	part := make([]byte, 16<<10) // twice that fits into the first window of HTTP/2
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// rest waits for the failure and sends what is left.
	rest := func(w io.Writer) {
		select {
		case <-heard:
		case <-ctx.Done():
		}
		_, _ = w.Write(part)
	}
	if protocol == "http/1.1" {
		conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.https), &tls.Config{ServerName: host, InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", url, host, 2*len(part), part)
		go rest(conn)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Logf("no answer from %s: %v", host, err)
			return 0
		}
		return res.StatusCode
	}
	body, w := io.Pipe()
	go func() {
		_, _ = w.Write(part)
		rest(w)
		_ = w.Close()
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+host+url, body)
	if err != nil {
		t.Fatal(err)
	}
	res, err := connect(t, g.https, protocol, host).send(r)
	if err != nil {
		t.Logf("no answer from %s: %v", host, err)
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// fails is how many failures are counted against a backend.
func (g *gateway) fails(t testing.TB, b *faultyBackend) int {
	t.Helper()
	var all []struct {
		Address  string `json:"address"`
		Requests int    `json:"num_requests"`
		Fails    int    `json:"fails"`
	}
	fails := -1
	harness.Eventually(t, patience, "the end of the requests to the backend", func() bool {
		res, err := adminClient.Get(g.adminURL("/reverse_proxy/upstreams"))
		if err != nil {
			return false
		}
		defer res.Body.Close()
		if err := json.NewDecoder(res.Body).Decode(&all); err != nil {
			return false
		}
		for _, u := range all {
			if u.Address == b.Addr().String() {
				fails = u.Fails
				return u.Requests == 0
			}
		}
		return false
	})
	return fails
}
