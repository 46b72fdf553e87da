package attacks

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// brokenBodies are uploads whose body is a fault of the client's: what a proxy
// sees of them is a request to its backend that fails.
var brokenBodies = map[string]struct {
	text  string
	reset bool // the connection is reset instead of half closed
}{
	"chunk size that is none":   {text: "Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n"},
	"chunk without its end":     {text: "Transfer-Encoding: chunked\r\n\r\n1\r\nxx0\r\n\r\n"},
	"chunk that is too short":   {text: "Transfer-Encoding: chunked\r\n\r\n64\r\nx"},
	"trailer that is none":      {text: "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nno colon\r\n\r\n"},
	"more than is allowed":      {text: "Transfer-Encoding: chunked\r\n\r\n186a0\r\n" + strings.Repeat("x", 100_000) + "\r\n0\r\n\r\n"},
	"less than it says":         {text: "Content-Length: 100\r\n\r\n{\"name\":"},
	"nothing of what it says":   {text: "Content-Length: 100\r\n\r\n"},
	"reset in the middle":       {text: "Content-Length: 100000\r\n\r\n{\"name\":", reset: true},
	"reset in a chunk":          {text: "Transfer-Encoding: chunked\r\n\r\n64\r\nx", reset: true},
	"reset before the answer":   {text: "Content-Length: 2\r\n\r\n{}", reset: true},
	"expectation, then nothing": {text: "Expect: 100-continue\r\nContent-Length: 100\r\n\r\n", reset: true},
}

// breakOff sends a request and ends the connection, so that the server has to
// find out by itself that no more will come.
func (g *target) breakOff(serverName, text string, reset bool) (answer string) {
	g.t.Helper()
	raw, err := net.Dial("tcp", g.address())
	if err != nil {
		g.t.Errorf("connecting: %v", err)
		return ""
	}
	conn := tls.Client(raw, &tls.Config{ServerName: serverName, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	defer conn.Close()
	conn.Write([]byte(text))
	if reset {
		raw.(*net.TCPConn).SetLinger(0)
		return ""
	}
	conn.CloseWrite()
	return g.exchange(conn, "")
}

// A client's fault must not be counted against the backend that all tenants
// share, also where backends are taken out when they fail.
func TestBrokenBodiesOfOneTenantAreNoOtherTenantsErrors(t *testing.T) {
	for name, edit := range map[string]func(string) string{
		"as shipped": roomy(t),
		"with passive health checks": func(text string) string {
			return replace(t, "reverse_proxy 127.0.0.1:{$BACKEND_PORT:9000}", "reverse_proxy 127.0.0.1:{$BACKEND_PORT:9000} {\n\t\tfail_duration 1m\n\t\tmax_fails 1\n\t}",
				"(gateway) {", "(gateway) {\n\trequest_body {\n\t\tmax_size 10KB\n\t}")(roomy(t)(text))
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newTarget(t, func(text string) string {
				return replace(t, "plan basic 1000/1h", "plan basic 1000000/1h")(edit(text))
			})
			var attackers, others sync.WaitGroup
			var done atomic.Bool
			var good atomic.Int64
			for i := range 2 {
				others.Go(func() {
					for n := 0; !done.Load(); n++ {
						if answer := g.send(fluffyHost, get(fmt.Sprintf("/other/%d/%d", i, n), "Host: "+fluffyHost)); statusOf(answer) != "200" {
							t.Errorf("another tenant's request: %.300q", answer)
							return
						}
						good.Add(1)
					}
				})
			}
			for kind, body := range brokenBodies {
				attackers.Go(func() {
					for range 20 {
						answer := g.breakOff(acmeHost, "POST /broken HTTP/1.1\r\n"+hostLine+"\r\n"+body.text, body.reset)
						if s := statusOf(answer); s > "499" {
							t.Errorf("%s is answered %.200q", kind, answer)
						}
					}
				})
			}
			attackers.Wait()
			before := good.Load()
			harness.Eventually(t, patience, "some more requests of the other tenant", func() bool { return good.Load() > before+20 || t.Failed() })
			done.Store(true)
			others.Wait()
			t.Logf("%d requests of another tenant beside %d broken ones", good.Load(), 20*len(brokenBodies))
		})
	}
}

// What a client does wrong is the client's fault: an answer that blames the
// server would set off alarms, and let whoever counts them take servers out.
func TestMalformedRequestsAreTheClientsFault(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { clientsFault(t, harness.Options{}) })
	t.Run("postgres", func(t *testing.T) { clientsFault(t, harness.OnPostgres(t)) })
}

func clientsFault(t *testing.T, options harness.Options) {
	stock := harness.FreePort(t)
	engine := options.Caddyfile
	options.Caddyfile = func(text string) string {
		if engine != nil {
			text = engine(text)
		}
		return plain(t)(text) + fmt.Sprintf("\nhttp://:%d {\n\treverse_proxy 127.0.0.1:{$BACKEND_PORT}\n}\n", stock)
	}
	stack := harness.StartStack(t, options)
	g := &target{Stack: stack, t: t}
	list := corpus(stack.Token(acme, "editor"))
	alone, skipped := 0, 0
	for _, m := range list {
		answer := g.sendTo(g.HTTP, m.text, m.half)
		for _, status := range statuses(answer) {
			if status[0] == '5' && status != m.status {
				t.Errorf("%s is answered %.200q", m.name, answer)
			}
			if status[0] == '5' && status == m.status {
				skipped++
			}
		}
		for _, status := range statuses(g.sendTo(stock, m.text, m.half)) {
			if status[0] == '5' && status != m.status {
				alone++
			}
		}
	}
	if len(list) < 200 || skipped > 20 {
		t.Errorf("%d requests, of which the protocol asks for 5xx in %d", len(list), skipped)
	}
	t.Logf("%d malformed requests: the protocol asks for 501 or 505 in %d; of the others Caddy alone answers %d with 5xx", len(list), skipped, alone)
	if answer := g.sendTo(g.HTTP, get("/api/pets", hostLine), false); statusOf(answer) != "200" {
		t.Errorf("after them: %.200q", answer)
	}
}

// sendTo sends bytes to a port without TLS and returns all that comes back; if
// they are half a request, it says that no more will come.
func (g *target) sendTo(port int, text string, half bool) string {
	g.t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(port)))
	if err != nil {
		g.t.Fatalf("connecting: %v", err)
	}
	go func() { // the server may answer, and stop reading, before the end
		_, _ = io.WriteString(conn, text)
		if half {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}()
	return g.exchange(conn, "")
}

var statusLine = regexp.MustCompile(`(?m)^HTTP/1\.[01] (\d{3}) `)

// statuses are those of all answers in the bytes.
func statuses(answers string) (list []string) {
	for _, m := range statusLine.FindAllStringSubmatch(answers, -1) {
		list = append(list, m[1])
	}
	return list
}
