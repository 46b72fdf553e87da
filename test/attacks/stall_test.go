package attacks

import (
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// hurried shortens the Caddyfile's own timeouts, so that a test waits for them
// and not for Caddy's, which are longer than its patience.
func hurried(t testing.TB) func(string) string {
	return func(text string) string {
		return replace(t, "read_header 10s", "read_header 1s", "read_body_idle 30s", "read_body_idle 2s",
			"write_idle 30s", "write_idle 2s", "idle 2m", "idle 2s")(roomy(t)(text))
	}
}

// stalls are requests that go no further.
var stalls = map[string]string{
	"nothing":           "",
	"the method":        "GET",
	"a header":          "GET / HTTP/1.1\r\n" + hostLine + "\r\nX-Slow: a",
	"no empty line":     "GET / HTTP/1.1\r\n" + hostLine + "\r\n",
	"a body":            "POST / HTTP/1.1\r\n" + hostLine + "\r\nContent-Length: 100\r\n\r\nx",
	"a chunk's size":    "POST / HTTP/1.1\r\n" + hostLine + "\r\nTransfer-Encoding: chunked\r\n\r\n1",
	"a chunk":           "POST / HTTP/1.1\r\n" + hostLine + "\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxx",
	"between chunks":    "POST / HTTP/1.1\r\n" + hostLine + "\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
	"the trailer":       "POST / HTTP/1.1\r\n" + hostLine + "\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Slow: ",
	"the next request":  "GET / HTTP/1.1\r\n" + hostLine + "\r\n\r\n",
	"a refused one":     "POST / HTTP/1.1\r\nHost: nobody.petstore.localhost\r\nContent-Length: 100\r\n\r\nx",
	"after Expect: 100": "POST / HTTP/1.1\r\n" + hostLine + "\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n",
}

func TestAClientThatStallsIsCutOff(t *testing.T) {
	g := newTarget(t, hurried(t))
	var wg sync.WaitGroup
	for name, text := range stalls {
		wg.Go(func() {
			serverName := acmeHost
			if strings.Contains(text, "nobody.") {
				serverName = "nobody.petstore.localhost"
			}
			// send fails the test if the connection is still open at its end.
			answer := g.send(serverName, text)
			for statusOf(answer) == "100" { // both servers may send one
				_, answer, _ = strings.Cut(answer, "\r\n\r\n")
			}
			// A stall in the headers, or in what nobody reads, needs no answer. Never is
			// it the backend's fault.
			want := []string{"408"}
			switch {
			case name == "the trailer":
				want = append(want, "400")
			case name == "the next request":
				want = []string{"200"}
			case name == "a refused one":
				want = []string{"404", ""}
			case !strings.HasPrefix(text, "POST"):
				want = []string{"400", "408", ""}
			}
			if got := statusOf(answer); !slices.Contains(want, got) {
				t.Errorf("stalled at %s: answered %.200q, want a status of %q", name, answer, want)
			}
		})
	}
	wg.Wait()
}

func TestClientsThatStallHoldNobodyUp(t *testing.T) {
	g := newTarget(t, roomy(t)) // with the timeouts as they are: the stalls last
	const each = 40
	var held []*tls.Conn
	for _, text := range stalls {
		for range each {
			conn, err := tls.Dial("tcp", g.address(), &tls.Config{ServerName: acmeHost, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
			if err != nil {
				t.Fatalf("connection %d: %v", len(held), err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, text); err != nil {
				t.Fatal(err)
			}
			held = append(held, conn)
		}
	}
	for i := range 50 {
		if answer := g.send(fluffyHost, get("/after", "Host: "+fluffyHost)); statusOf(answer) != "200" {
			t.Fatalf("request %d beside %d stalled ones: %.300q", i, len(held), answer)
		}
	}
	// They were there all the time: a read from one that the server has closed
	// would return at once.
	open := 0
	for _, conn := range held {
		_ = conn.SetReadDeadline(time.Now())
		if _, err := conn.Read(make([]byte, 1)); err != nil && !strings.Contains(err.Error(), "timeout") {
			continue
		}
		open++
	}
	if open < len(held)*3/4 {
		t.Errorf("%d of %d stalled connections are left: they did not compete", open, len(held))
	}
}

// Before there is a request to read, too.
func TestAHandshakeThatStallsIsCutOff(t *testing.T) {
	g := newTarget(t, hurried(t))
	var wg sync.WaitGroup
	for name, text := range map[string]string{"nothing": "", "the first record's head": "\x16\x03\x01\x02", "the first record": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"} {
		wg.Go(func() {
			conn, err := net.Dial("tcp", g.address())
			if err != nil {
				t.Error(err)
				return
			}
			if answer := g.exchange(conn, text); answer != "" {
				t.Errorf("stalled at %s: answered %.200q", name, answer)
			}
		})
	}
	for _, text := range []string{"", "PRI * ", http2.ClientPreface} {
		wg.Go(func() {
			conn, err := tls.Dial("tcp", g.address(), &tls.Config{ServerName: acmeHost, InsecureSkipVerify: true, NextProtos: []string{"h2"}})
			if err != nil {
				t.Error(err)
				return
			}
			// exchange fails the test if the connection is still open at its end.
			if answer := g.exchange(conn, text); statusOf(answer) == "200" {
				t.Errorf("HTTP/2 stalled after %q: answered %.200q", text, answer)
			}
		})
	}
	wg.Wait()
}
