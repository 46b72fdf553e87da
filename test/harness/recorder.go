package harness

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// Recorder is a backend that believes nothing and keeps every byte that clients
// made the gateway send, so that a test can tell what reached it in whatever
// spelling. What the gateway asks or tells by itself is not kept.
type Recorder struct {
	// Port is its loopback port.
	Port int

	mu       sync.Mutex
	conns    []*tappedConn
	requests []*http.Request
}

// StartRecorder starts one; it ends with the test. It answers 200.
func StartRecorder(t testing.TB) *Recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("starting the recorder: %v", err)
	}
	r := &Recorder{Port: l.Addr().(*net.TCPAddr).Port}
	server := &http.Server{Handler: r}
	go func() { _ = server.Serve(tap{l, r}) }()
	t.Cleanup(func() { server.Close() })
	return r
}

// Address is where it listens.
func (r *Recorder) Address() string { return fmt.Sprintf("127.0.0.1:%d", r.Port) }

// ServeHTTP implements http.Handler.
func (r *Recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	_, _ = io.Copy(io.Discard, req.Body) // trailers come after it
	if req.Header.Get("Via") == "" {
		// The gateway itself looks for keys and delivers audit records; they are
		// no client's requests.
		switch req.URL.Path {
		case "/.well-known/jwks.json":
			http.NotFound(w, req)
			return
		case "/internal/audit":
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	r.mu.Lock()
	r.requests = append(r.requests, req)
	r.mu.Unlock()
	_, _ = io.WriteString(w, "recorded\n")
}

// Reset forgets everything so far.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.bytes = nil
	}
	r.requests = nil
}

// Bytes is everything that was sent to it, one connection after the other.
func (r *Recorder) Bytes() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []byte
	for _, c := range r.conns {
		if !c.own {
			all = append(all, c.bytes...)
		}
	}
	return string(all)
}

// Requests are the requests as a Go server sees them. Their bodies are gone.
func (r *Recorder) Requests() []*http.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*http.Request(nil), r.requests...)
}

type tap struct {
	net.Listener
	to *Recorder
}

func (l tap) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tapped := &tappedConn{Conn: c, to: l.to}
	l.to.mu.Lock()
	l.to.conns = append(l.to.conns, tapped)
	l.to.mu.Unlock()
	return tapped, nil
}

// tappedConn keeps what is read from it. own says that it carries the gateway's
// deliveries of audit records, which have connections of their own.
type tappedConn struct {
	net.Conn
	to         *Recorder
	bytes      []byte
	begun, own bool
}

func (c *tappedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.to.mu.Lock()
	if !c.begun && n > 0 {
		// No client's request has that header: the gateway removes it.
		first := string(b[:n])
		c.begun, c.own = true, strings.HasPrefix(first, "POST /internal/audit HTTP/1.1\r\n") && strings.Contains(first, "\r\nTenant-Audit: ")
	}
	c.bytes = append(c.bytes, b[:n]...)
	c.to.mu.Unlock()
	return n, err
}
