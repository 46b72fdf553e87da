package attacks

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// What is in order before a request that is not is answered as ever.
func TestARefusedRequestDoesNotHarmTheOneBeforeIt(t *testing.T) {
	g := newTarget(t, plain(t))
	const (
		first = "POST /first HTTP/1.1\r\n" + hostLine + "\r\nContent-Length: 4\r\n\r\n\n\r\n\n"
		// The chunks' data may hold what it likes.
		second = "POST /second HTTP/1.1\r\n" + hostLine + "\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n\n\n\n\r\n0\r\nA: b\r\n\r\n"
		third  = "GET /third HTTP/1.1\r\n" + hostLine + "\r\nX: a\r\n b\r\n\r\n" + hidden
	)
	for name, answer := range map[string]string{"TLS": g.send(acmeHost, first+second+third), "plain": g.sendPlain(first + second + third)} {
		if n := strings.Count(answer, "HTTP/1.1 200 "); n != 2 || strings.Count(answer, "HTTP/1.1 400 ") != 1 || strings.Count(answer, "HTTP/1.1 ") != 3 {
			t.Errorf("%s: want two answers and a refusal, got %q", name, answer)
		}
	}
	seen := map[string]int{}
	for _, r := range g.rec.Requests() {
		seen[r.URL.Path]++
	}
	if text := g.rawAdmin("GET /metrics HTTP/1.1\r\n" + fmt.Sprintf("Host: 127.0.0.1:%d", g.Admin) + "\r\nConnection: close\r\n\r\n"); !strings.Contains(text, `malformed_requests_total{fault="folded_line"} 2`) {
		t.Error("the metrics do not tell of two folded lines")
	}
	if len(seen) != 2 || seen["/first"] != 2 || seen["/second"] != 2 {
		t.Errorf("the backend saw %v", seen)
	}
}

// The handshake says which protocol comes; a connection is for no other.
func TestAConnectionIsForTheProtocolOfItsHandshake(t *testing.T) {
	g := newTarget(t, nil)
	as := func(protocol, text string) string {
		conn, err := tls.Dial("tcp", g.address(), &tls.Config{ServerName: acmeHost, InsecureSkipVerify: true, NextProtos: []string{protocol}})
		if err != nil {
			t.Fatal(err)
		}
		return g.exchange(conn, text)
	}
	if answer := as("h2", get("/", hostLine)); answer != "" && !strings.HasPrefix(answer, "\x00") {
		t.Errorf("HTTP/1 where HTTP/2 was agreed on: %.200q", answer)
	}
	if answer := as("h2", "x"); answer != "" && !strings.HasPrefix(answer, "\x00") {
		t.Errorf("one wrong byte where HTTP/2 was agreed on: %.200q", answer)
	}
	if answer := as("http/1.1", http2.ClientPreface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00"); statusOf(answer) != "400" {
		t.Errorf("HTTP/2 where HTTP/1.1 was agreed on: %.200q", answer)
	}
	if n := len(g.rec.Requests()); n != 0 {
		t.Errorf("the backend saw %d requests", n)
	}
	g.served("after it", g.send(acmeHost, get("/", hostLine)), acme)
}

func TestHTTPOnTheTLSPortIsToldSo(t *testing.T) {
	g := newTarget(t, nil)
	client := http.Client{Timeout: time.Minute}
	res, err := client.Get("http://" + g.address() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "HTTPS") {
		t.Errorf("status %d: %q", res.StatusCode, text)
	}
}
