package attacks

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// twoWays are requests that two programs may read in two ways, and that Go's server
// takes: strict_http must refuse them on every connection, whatever went over it.
var twoWays = map[string]string{
	"bare LF":           "GET /hidden HTTP/1.1\nHost: " + acmeHost + "\n\n",
	"bare LF in a line": "GET /hidden HTTP/1.1\r\n" + hostLine + "\nX: y\r\n\r\n",
	"a folded line":     "GET /hidden HTTP/1.1\r\n" + hostLine + "\r\nX: a\r\n b\r\n\r\n",
	"CL.TE":             "POST /hidden HTTP/1.1\r\n" + hostLine + "\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"a length twice":    "POST /hidden HTTP/1.1\r\n" + hostLine + "\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.0 chunks":   "POST /hidden HTTP/1.0\r\n" + hostLine + "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}

// last is a request that ends its connection, where one gets that far.
const last = "GET /hidden HTTP/1.1\r\n" + hostLine + "\r\nConnection: close\r\n\r\n"

// switcher is a backend whose answers look as if they changed the protocol, at the
// beginning of a write of the gateway's; and one that does, at /ws.
type switcher struct {
	*httptest.Server
	hidden atomic.Int64
	next   chan struct{} // lets an answer go on
}

func startSwitcher(t testing.TB) *switcher {
	s := &switcher{next: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const looks = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
		switch r.URL.Path {
		case "/body":
			w.Header().Set("Content-Length", fmt.Sprint(1+len(looks)))
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			<-s.next
			_, _ = io.WriteString(w, looks)
		case "/ws":
			conn, both, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, looks)
			_, _ = io.Copy(conn, both)
		case "/hidden":
			s.hidden.Add(1)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.CloseClientConnections)
	return s
}

// newSwitched starts a gateway before a switcher, with and without TLS.
func newSwitched(t testing.TB) (*target, *switcher) {
	s := startSwitcher(t)
	g := newTarget(t, func(text string) string {
		return replace(t, "reverse_proxy 127.0.0.1:{$BACKEND_PORT:9000}",
			"@switch path /body /ws /hidden /refuses\n\treverse_proxy @switch "+s.Listener.Addr().String()+" {\n\t\tflush_interval -1\n\t}\n\treverse_proxy 127.0.0.1:{$BACKEND_PORT:9000}")(plain(t)(text))
	})
	return g, s
}

// dial opens a connection of HTTP/1.1, under TLS or not.
func (g *target) dial(encrypted bool) net.Conn {
	g.t.Helper()
	var conn net.Conn
	var err error
	if encrypted {
		conn, err = tls.Dial("tcp", g.address(), &tls.Config{ServerName: acmeHost, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	} else {
		conn, err = net.Dial("tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(g.HTTP)))
	}
	if err != nil {
		g.t.Fatalf("connecting: %v", err)
	}
	g.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

var schemes = map[string]bool{"TLS": true, "plain": false}

// A body that looks like the answer that changes the protocol changes nothing.
func TestABodyThatLooksLikeAChangeOfProtocolIsNone(t *testing.T) {
	g, s := newSwitched(t)
	for scheme, encrypted := range schemes {
		for wish, headers := range map[string]string{
			"that nobody heard": "Upgrade: websocket\r\n",
			"of a WebSocket":    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
			"that there is not": "",
		} {
			for kind, attack := range twoWays {
				t.Run(scheme+", a wish "+wish+", "+kind, func(t *testing.T) {
					conn := g.dial(encrypted)
					in := bufio.NewReader(conn)
					_, _ = io.WriteString(conn, "GET /body HTTP/1.1\r\n"+hostLine+"\r\n"+headers+"\r\n")
					res, err := http.ReadResponse(in, nil)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := io.ReadFull(res.Body, make([]byte, 1)); err != nil {
						t.Fatal(err)
					}
					s.next <- struct{}{}
					if _, err := io.Copy(io.Discard, res.Body); err != nil {
						t.Fatal(err)
					}
					s.refuses(t, conn, in, attack)
				})
			}
		}
	}
}

// refuses sends a request on a connection, which must be refused and reach nobody.
func (s *switcher) refuses(t *testing.T, conn net.Conn, in *bufio.Reader, attack string) {
	t.Helper()
	_, _ = io.WriteString(conn, attack+last)
	rest, _ := io.ReadAll(in)
	if answer := string(rest); statusOf(answer) != "400" && answer != "" || strings.Count(answer, "HTTP/1.1 ") > 1 {
		t.Errorf("answered %.200q, want a refusal", answer)
	}
	if n := s.hidden.Swap(0); n != 0 {
		t.Errorf("%d requests reached the backend", n)
	}
}

// A beginning that looks like that of HTTP/2 is refused where it is not all of it, and
// what comes behind it as well.
func TestABeginningThatLooksLikeHTTP2ChangesNothing(t *testing.T) {
	g, s := newSwitched(t)
	for scheme, encrypted := range schemes {
		for begin, text := range map[string]string{
			"with a host":          "PRI * HTTP/2.0\r\n" + hostLine + "\r\n\r\n",
			"with a length":        "PRI * HTTP/2.0\r\n" + hostLine + "\r\nContent-Length: 6\r\n\r\nSM\r\n\r\n",
			"another end":          "PRI * HTTP/2.0\r\n\r\nSM\r\nX\r\n",
			"half of it":           "PRI * HTTP/2.0\r\n\r\n",
			"after an empty line":  "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
			"after a request":      "GET /hidden HTTP/1.1\r\n" + hostLine + "\r\n\r\nPRI * HTTP/2.0\r\n" + hostLine + "\r\n\r\n",
			"a lower-case version": "PRI * http/2.0\r\n" + hostLine + "\r\n\r\n",
			"another target":       "PRI / HTTP/2.0\r\n" + hostLine + "\r\n\r\n",
			"another version":      "PRI * HTTP/1.1\r\n" + hostLine + "\r\n\r\n",
		} {
			for kind, attack := range twoWays {
				t.Run(scheme+", "+begin+", "+kind, func(t *testing.T) {
					conn := g.dial(encrypted)
					_, _ = io.WriteString(conn, text+attack+last)
					rest, _ := io.ReadAll(conn)
					answer := string(rest)
					want := int64(strings.Count(text, "/hidden"))
					if n := s.hidden.Swap(0); n != want {
						t.Errorf("%d requests reached the backend, want %d", n, want)
					}
					if n := strings.Count(answer, "HTTP/1.1 200 "); int64(n) != want {
						t.Errorf("answered %.300q", answer)
					}
				})
			}
		}
	}
}

// What follows a change of the protocol that took place is nobody's business here.
func TestAWebSocketCarriesWhatItLikes(t *testing.T) {
	g, s := newSwitched(t)
	for scheme, encrypted := range schemes {
		t.Run(scheme, func(t *testing.T) {
			conn := g.dial(encrypted)
			in := bufio.NewReader(conn)
			_, _ = io.WriteString(conn, "GET /ws HTTP/1.1\r\n"+hostLine+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
			res, err := http.ReadResponse(in, nil)
			if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("got %v, %v; want 101", res, err)
			}
			for _, text := range []string{"\n\n", "GET / HTTP/1.1\n\n", "\x00\x81\r\n \r\n", twoWays["CL.TE"]} {
				_, _ = io.WriteString(conn, text)
				got := make([]byte, len(text))
				if _, err := io.ReadFull(in, got); err != nil || string(got) != text {
					t.Fatalf("sent %q, got back %q, %v", text, got, err)
				}
			}
			if n := s.hidden.Load(); n != 0 {
				t.Errorf("%d requests reached the backend", n)
			}
		})
	}
}

// A wish that is refused changes nothing either.
func TestAChangeOfProtocolThatIsRefusedChangesNothing(t *testing.T) {
	g, s := newSwitched(t)
	for scheme, encrypted := range schemes {
		for kind, attack := range twoWays {
			t.Run(scheme+", "+kind, func(t *testing.T) {
				conn := g.dial(encrypted)
				in := bufio.NewReader(conn)
				_, _ = io.WriteString(conn, "GET /refuses HTTP/1.1\r\n"+hostLine+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
				res, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				s.refuses(t, conn, in, attack)
			})
		}
	}
}
