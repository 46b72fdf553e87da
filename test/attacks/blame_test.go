package attacks

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// exchange is one stream of a client's, of any version of HTTP that has streams.
type exchange interface {
	// send sends a part of the body, and that it ends if that is so.
	send(text string, end bool)
	// reset gives the stream up, and closeConn the whole connection.
	reset()
	closeConn()
	// status waits for an answer; 0 if there is none.
	status() int
}

type h2Exchange struct {
	conn   *tls.Conn
	framer *http2.Framer
}

// openH2 sends the head of a request in frames, since a library would refuse to.
func (g *target) openH2(t testing.TB, method, path string, end bool, more ...field) exchange {
	t.Helper()
	conn, err := tls.Dial("tcp", g.address(), &tls.Config{ServerName: acmeHost, InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	x := &h2Exchange{conn: conn, framer: http2.NewFramer(conn, conn)}
	_, _ = io.WriteString(conn, http2.ClientPreface)
	_ = x.framer.WriteSettings()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range append([]field{{":method", method}, {":scheme", "https"}, {":path", path}, {":authority", acmeHost}}, more...) {
		_ = encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	x.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = x.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end})
	return x
}

func (x *h2Exchange) send(text string, end bool) { _ = x.framer.WriteData(1, end, []byte(text)) }
func (x *h2Exchange) reset()                     { _ = x.framer.WriteRSTStream(1, http2.ErrCodeCancel) }
func (x *h2Exchange) closeConn()                 { _ = x.conn.Close() }

func (x *h2Exchange) status() (code int) {
	for {
		f, err := x.framer.ReadFrame()
		if err != nil {
			return code
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			_, _ = fmt.Sscan(f.PseudoValue("status"), &code)
			return code
		case *http2.RSTStreamFrame:
			return code
		}
	}
}

type h3Exchange struct {
	t      testing.TB
	conn   *quic.Conn
	stream *http3.RequestStream
}

func (g *target) openH3(t testing.TB, method, path string, end bool, more ...field) exchange {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	conn, err := quic.DialAddr(ctx, g.address(), &tls.Config{ServerName: acmeHost, InsecureSkipVerify: true, NextProtos: []string{"h3"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	x := &h3Exchange{t: t, conn: conn}
	t.Cleanup(x.closeConn)
	if x.stream, err = new(http3.Transport).NewClientConn(conn).OpenRequestStream(ctx); err != nil {
		t.Fatal(err)
	}
	_ = x.stream.SetDeadline(time.Now().Add(patience))
	r := &http.Request{Method: method, URL: &url.URL{Scheme: "https", Host: acmeHost, Path: path}, Host: acmeHost, Header: http.Header{}, ContentLength: -1}
	r.Body = http.NoBody // it is sent by hand
	for _, f := range more {
		if f[0] == "content-length" {
			_, _ = fmt.Sscan(f[1], &r.ContentLength)
		}
		r.Header.Add(f[0], f[1])
	}
	if err := x.stream.SendRequestHeader(r); err != nil {
		t.Fatal(err)
	}
	if end {
		_ = x.stream.Close()
	}
	return x
}

func (x *h3Exchange) send(text string, end bool) {
	_, _ = io.WriteString(x.stream, text)
	if end {
		_ = x.stream.Close()
	}
}

func (x *h3Exchange) reset() {
	x.stream.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
	x.stream.CancelRead(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
}
func (x *h3Exchange) closeConn() { _ = x.conn.CloseWithError(0x100, "") }

func (x *h3Exchange) status() int {
	res, err := x.stream.ReadResponse()
	if err != nil {
		return 0
	}
	return res.StatusCode
}

// mishaps are what a client can do wrong in a request to a backend that waits for it;
// the statuses are the ones that it may get, 0 if it is told in its protocol's own way.
var mishaps = map[string]struct {
	method string
	length string
	do     func(x exchange)
	want   []int
}{
	"a body that is reset":            {"POST", "", func(x exchange) { x.send("abc", false); x.reset() }, nil},
	"a sized body that is reset":      {"POST", "100", func(x exchange) { x.send("abc", false); x.reset() }, nil},
	"a body that its connection ends": {"POST", "", func(x exchange) { x.send("abc", false); x.closeConn() }, nil},
	"a sized one that it ends":        {"POST", "100", func(x exchange) { x.send("abc", false); x.closeConn() }, nil},
	"a body that is too short":        {"POST", "100", func(x exchange) { x.send("abc", true) }, []int{0, 400}},
	"a body that is too long":         {"POST", "2", func(x exchange) { x.send("abcdefgh", true) }, []int{0, 400}},
	"a body where none was said":      {"POST", "0", func(x exchange) { x.send("abcdefgh", true) }, []int{0, 200, 400}},
	"no body where one was said":      {"POST", "100", func(x exchange) { x.send("", true) }, []int{0, 400}},
	"a body that stalls":              {"POST", "", func(x exchange) { x.send("abc", false) }, []int{0, 408}},
	"a sized body that stalls":        {"POST", "100", func(x exchange) { x.send("abc", false) }, []int{0, 408}},
	"a GET that is reset":             {"GET", "", func(x exchange) { x.reset() }, nil},
	"a GET whose connection ends":     {"GET", "", func(x exchange) { x.closeConn() }, nil},
	"a GET that never ends":           {"GET", "", func(x exchange) { x.send("abc", false) }, []int{0, 408}},
}

// noTokens are methods that HTTP/2 can carry, and that no request to a backend can.
var noTokens = []string{"G T", "GET ", "(GET)", "G/T", "GET\x7f", "g\u00e9t", "GET,POST", "@", "{}", "\"GET\""}

// Where backends are taken out when they fail, nothing that a client does may do it, in
// any version of HTTP: all tenants share the backend.
func TestNothingThatAClientDoesIsBlamedOnTheBackend(t *testing.T) {
	begun := make(chan struct{}, 1)
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case begun <- struct{}{}:
		default:
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodGet {
			<-r.Context().Done()
		}
	}))
	t.Cleanup(backend.Close)
	t.Cleanup(backend.CloseClientConnections)
	address := backend.Listener.Addr().String()
	g := newTarget(t, func(text string) string {
		return replace(t, "reverse_proxy 127.0.0.1:{$BACKEND_PORT:9000}",
			"@blame path /blame\n\treverse_proxy @blame "+address+" {\n\t\tfail_duration 10m\n\t\tmax_fails 1000\n\t}\n\treverse_proxy 127.0.0.1:{$BACKEND_PORT:9000}")(hurried(t)(text))
	})
	open := map[string]func(testing.TB, string, string, bool, ...field) exchange{"HTTP/2": g.openH2, "HTTP/3": g.openH3}
	// innocent waits until the requests are over, and fails the test if they count.
	innocent := func(t *testing.T) {
		t.Helper()
		harness.Eventually(t, patience, "the end of the request to the backend", func() bool { return g.upstream(address).Requests == 0 })
		if n := g.upstream(address).Fails; n != 0 {
			t.Fatalf("%d failures are counted against the backend", n)
		}
	}
	for version, open := range open {
		for name, m := range mishaps {
			t.Run(version+": "+name, func(t *testing.T) {
				var more []field
				if m.length != "" {
					more = append(more, field{"content-length", m.length})
				}
				select {
				case <-begun:
				default:
				}
				x := open(t, m.method, "/blame", false, more...)
				if m.method == "GET" {
					<-begun // the backend has it, so it can be blamed
				}
				m.do(x)
				if got := x.status(); m.want != nil && !slices.Contains(m.want, got) {
					t.Errorf("status %d, want one of %d", got, m.want)
				}
				innocent(t)
			})
		}
		for _, trailer := range []string{"a b", "x\u00e9", "(x)", "content-length", "transfer-encoding", "host"} {
			t.Run(version+": the trailer "+trailer, func(t *testing.T) {
				x := open(t, "POST", "/blame", false, field{"trailer", trailer})
				x.send("abc", true)
				if got := x.status(); got >= 500 {
					t.Errorf("status %d", got)
				}
				innocent(t)
			})
		}
	}
	for _, method := range noTokens {
		t.Run("HTTP/2: the method "+method, func(t *testing.T) {
			if got := g.openH2(t, method, "/blame", true).status(); got != 0 && got != 400 {
				t.Errorf("status %d, want 400", got)
			}
			innocent(t)
		})
	}
	for _, trailer := range []string{"a b", "(x)", "content-length", "x: y"} {
		t.Run("HTTP/1.1: the trailer "+trailer, func(t *testing.T) {
			answer := g.send(acmeHost, request("POST", "/blame", hostLine, "Transfer-Encoding: chunked", "Trailer: "+trailer)+"1\r\nx\r\n0\r\n\r\n")
			if s := statusOf(answer); strings.HasPrefix(s, "5") {
				t.Errorf("answered %.200q", answer)
			}
			innocent(t)
		})
	}
}

type upstream struct {
	Address  string `json:"address"`
	Requests int    `json:"num_requests"`
	Fails    int    `json:"fails"`
}

// upstream is what the gateway knows of a backend.
func (g *target) upstream(address string) (u upstream) {
	g.t.Helper()
	answer := g.rawAdmin("GET /reverse_proxy/upstreams HTTP/1.0\r\n" + fmt.Sprintf("Host: 127.0.0.1:%d", g.Admin) + "\r\n\r\n")
	_, body, _ := strings.Cut(answer, "\r\n\r\n")
	var all []upstream
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		g.t.Fatalf("reading %q: %v", answer, err)
	}
	for _, one := range all {
		if one.Address == address {
			return one
		}
	}
	return u
}
