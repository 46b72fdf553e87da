package caddymodule_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// streamBackend has answers without an end: silent ones at /events and /ws,
// and one at /download that goes on writing. /upload reads until it ends.
func streamBackend(t testing.TB) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := http.NewResponseController(w)
		switch r.URL.Path {
		case "/ws":
			conn, _, err := out.Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello\n")
			_, _ = io.Copy(io.Discard, conn)
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "hello\n")
			_ = out.Flush()
			<-r.Context().Done()
		case "/download":
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, "hello\n"); err != nil || out.Flush() != nil {
					return
				}
				time.Sleep(5 * time.Millisecond) // a slow one, not a flood
			}
		case "/upload":
			_, _ = io.Copy(io.Discard, r.Body)
		}
	}))
	t.Cleanup(srv.CloseClientConnections) // first, or Close waits for streams
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// clientStream is a request whose answer has begun.
type clientStream struct {
	net.Conn
	ended chan error // how reading the answer ended
}

// openStream sends a request and returns when the backend's first line is there.
func (g *gateway) openStream(host, path string, headers ...string) *clientStream {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close() })
	lines := append([]string{"GET " + path + " HTTP/1.1", "Host: " + host}, headers...)
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		g.t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			g.t.Fatalf("%s%s: no first line: %v", host, path, err)
		}
		if line == "hello\n" {
			break
		}
	}
	_ = conn.SetReadDeadline(time.Time{})
	s := &clientStream{conn, make(chan error, 1)}
	go func() {
		answer, err := io.ReadAll(in)
		// A chunk of no bytes would say that the answer is whole.
		if err == nil && strings.HasSuffix(string(answer), "\r\n0\r\n\r\n") {
			err = errors.New("the answer ended as if it were whole")
		}
		s.ended <- err
	}()
	return s
}

// breaksOff fails the test unless the answer is broken off.
func (s *clientStream) breaksOff(t testing.TB, what string) {
	t.Helper()
	select {
	case err := <-s.ended:
		if err != nil && strings.Contains(err.Error(), "whole") {
			t.Errorf("%s: %v", what, err)
		}
	case <-time.After(20 * time.Second):
		t.Errorf("%s is still open", what)
	}
}

// stays fails the test if the answer has ended.
func (s *clientStream) stays(t testing.TB, what string) {
	t.Helper()
	select {
	case err := <-s.ended:
		t.Errorf("%s has ended: %v", what, err)
	default:
	}
}

const (
	websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
	events    = "Accept: text/event-stream"
)

// streamKinds are the requests that may last, by their paths.
var streamKinds = map[string]string{"/ws": websocket, "/events": events, "/download": "Accept: */*"}

func streamSite(t testing.TB) string {
	return strings.Replace(fullSite, "reverse_proxy {backend}", "reverse_proxy "+streamBackend(t)+" {\nstream_close_delay 10m\n}", 1)
}

var streamOptions = strings.Replace(appOptions, "5/1h", "1000/1h", 1)

func TestASuspendedTenantsStreamsAreEndedAndNobodyElses(t *testing.T) {
	site := streamSite(t)
	for name, change := range map[string]func(string) string{
		"suspended": replacer(`"slug":"acme-pets","name":"Acme","plan":"free","status":"active"`, `"slug":"acme-pets","plan":"free","status":"suspended"`),
		"removed":   replacer(`"slug":"acme-pets","name":"Acme"`, `"slug":"acme-else","name":"Acme"`),
		"made anew": replacer(`"id":"t1"`, `"id":"t9"`),
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, streamOptions, site)
			before := g.scrape()
			open := make(map[string]*clientStream)
			for path, header := range streamKinds {
				open[path] = g.openStream("acme-pets.pets.test", path, header)
				open["other"+path] = g.openStream("fluffy-friends.pets.test", path, header)
			}
			if n := g.scrape()["streams{}"]; n != 4 {
				t.Errorf("%v streams are open; want 4", n)
			}
			g.write("tenants.json", change(tenantsJSON))
			for path := range streamKinds {
				open[path].breaksOff(t, path)
				open["other"+path].stays(t, "the other tenant's "+path)
			}
			eventually(t, "the tenant's streams are counted out", func() bool { return g.scrape()["streams{}"] == 2 })
			if n := g.scrape()["streams_ended_total{}"] - before["streams_ended_total{}"]; n != 2 {
				t.Errorf("%v streams were ended; want 2", n)
			}
		})
	}
}

// replacer returns a function that makes a change which must be possible.
func replacer(from, to string) func(string) string {
	return func(text string) string {
		if !strings.Contains(text, from) {
			panic("there is no " + from)
		}
		return strings.Replace(text, from, to, 1)
	}
}

func TestAnUploadEndsWithItsTenant(t *testing.T) {
	g := newGateway(t, streamOptions, streamSite(t))
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST /upload HTTP/1.1\r\nHost: acme-pets.pets.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
	g.write("tenants.json", replacer(`"plan":"free","status":"active"`, `"plan":"free","status":"suspended"`)(tenantsJSON))
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				_, _ = io.WriteString(conn, "1\r\nx\r\n")
			}
		}
	}()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	body, _ := io.ReadAll(res.Body)
	_, want, _ := strings.Cut(g.get("nobody.pets.test", "/"), "\r\n\r\n")
	if res.StatusCode != http.StatusNotFound || string(body) != want {
		t.Errorf("got %d %s; want the common 404", res.StatusCode, body)
	}
}

func TestChangesThatLeaveATenantActiveEndNoStream(t *testing.T) {
	g := newGateway(t, streamOptions, "header X-Plan {tenant.plan}\n"+streamSite(t))
	open := make(map[string]*clientStream)
	for path, header := range streamKinds {
		open[path] = g.openStream("acme-pets.pets.test", path, header)
	}
	g.write("tenants.json", replacer(`"name":"Acme","plan":"free"`, `"name":"Acme Inc.","plan":"premium"`)(tenantsJSON))
	eventually(t, "the plan is in force", func() bool {
		return field(g.get("acme-pets.pets.test", "/"), "X-Plan") == "premium"
	})
	for path, s := range open {
		s.stays(t, path)
	}
}

func TestStreamsEndWithTheirTenantAlsoAfterAReload(t *testing.T) {
	site := streamSite(t)
	g := newGateway(t, streamOptions, site)
	ws, sse := g.openStream("acme-pets.pets.test", "/ws", websocket), g.openStream("acme-pets.pets.test", "/events", events)
	if err := g.load(streamOptions, site+"\nheader X-New 1"); err != nil {
		t.Fatal(err)
	}
	if err := g.load(streamOptions+"\ndefault_plan none", site); err == nil {
		t.Fatal("a plan that there is none of was loaded")
	}
	ws.stays(t, "the WebSocket")
	sse.stays(t, "the stream of events")
	g.write("tenants.json", replacer(`"plan":"free","status":"active"`, `"plan":"free","status":"suspended"`)(tenantsJSON))
	ws.breaksOff(t, "the WebSocket")
	sse.breaksOff(t, "the stream of events")
}

func TestStreamsEndWhenTheirSourceOfTenantsIsGone(t *testing.T) {
	site := streamSite(t)
	g := newGateway(t, streamOptions, site)
	ws := g.openStream("acme-pets.pets.test", "/ws", websocket)
	g.write("others.json", tenantsJSON)
	if err := g.load(strings.Replace(streamOptions, "tenants.json", "others.json", 1), site); err != nil {
		t.Fatal(err)
	}
	ws.breaksOff(t, "the WebSocket")
}

func TestARevokedCredentialsStreamsAreEnded(t *testing.T) {
	g := newKeyGateway(t, strings.Replace(keySite, "reverse_proxy {backend}", "reverse_proxy "+streamBackend(t), 1))
	key, other := g.addKey("k1", "acme-pets", "editor", time.Time{}), g.settledKey()
	ann, bob := g.issuer.token(t, jwt.MapClaims{"sub": "ann", "jti": "j1"}), g.issuer.token(t, jwt.MapClaims{"sub": "bob"})
	open := make(map[string]*clientStream)
	for name, credential := range map[string]string{"key": "X-API-Key: " + key, "other key": "X-API-Key: " + other, "ann": ann, "bob": bob} {
		for path, header := range map[string]string{"/ws": websocket, "/events": events} {
			open[name+path] = g.openStream("acme-pets.pets.test", path, credential, header)
		}
	}
	g.exec("INSERT INTO revocations (id, kind, value) VALUES (1, 'token', 'j1')")
	for _, path := range []string{"/ws", "/events"} {
		open["ann"+path].breaksOff(t, "ann's "+path)
	}
	g.exec("UPDATE api_keys SET revoked_at = 1 WHERE id = 'k1'")
	for _, path := range []string{"/ws", "/events"} {
		open["key"+path].breaksOff(t, "the key's "+path)
	}
	for name, s := range open {
		if strings.HasPrefix(name, "bob") || strings.HasPrefix(name, "other") {
			s.stays(t, name)
		}
	}
}

// settledKey adds a key and returns it when it is in force.
func (g *keyGateway) settledKey() string {
	g.t.Helper()
	key := g.addKey(fmt.Sprint("settled-", time.Now().UnixNano()), "acme-pets", "editor", time.Time{})
	eventually(g.t, "a new key is in force", func() bool {
		return status(g.get("acme-pets.pets.test", "/", "X-API-Key: "+key)) == "200"
	})
	return key
}

// The request's own context must not end with its stream: handle_errors answers
// with it.
func TestAnErrorRouteAnswersAStreamThatIsRefused(t *testing.T) {
	g := newGateway(t, streamOptions, strings.Replace(fullSite, "reverse_proxy {backend}", "error 418", 1)+"\nhandle_errors {\nreverse_proxy {backend}\n}")
	if answer := g.get("acme-pets.pets.test", "/", events); !strings.HasSuffix(answer, "from the backend") {
		t.Errorf("got %s", answer)
	}
}
