package harness

import (
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
)

// Recorder is a backend that believes nothing and keeps every byte it was
// sent, so that a test can tell what reached it in whatever spelling.
type Recorder struct {
	// Port is its loopback port.
	Port int

	mu       sync.Mutex
	bytes    []byte
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

// ServeHTTP implements http.Handler.
func (r *Recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	_, _ = io.Copy(io.Discard, req.Body) // trailers come after it
	if req.URL.Path == "/.well-known/jwks.json" && req.Header.Get("Via") == "" {
		// The gateway itself looks for keys; it is no client's request.
		http.NotFound(w, req)
		return
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
	r.bytes, r.requests = nil, nil
}

// Bytes is everything that was sent to it.
func (r *Recorder) Bytes() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.bytes)
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
	return tappedConn{c, l.to}, nil
}

type tappedConn struct {
	net.Conn
	to *Recorder
}

func (c tappedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.to.mu.Lock()
	c.to.bytes = append(c.to.bytes, b[:n]...)
	c.to.mu.Unlock()
	return n, err
}
