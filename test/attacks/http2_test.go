package attacks

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// field is one header field of HTTP/2, as sent: name and value.
type field [2]string

// http2 sends one request of these fields in frames written by hand, since a
// library would refuse to, and reports the answer's body and whether the
// stream was answered at all; a reset or a closed connection is not an answer.
func (g *target) http2(serverName string, fields []field) (body string, answered bool) {
	g.t.Helper()
	conn, err := tls.Dial("tcp", g.address(), &tls.Config{ServerName: serverName, InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	var block []byte
	for _, f := range fields { // literal, without indexing (RFC 7541, section 6.2.2)
		block = append(block, 0)
		for _, s := range f {
			block = append(append(block, byte(len(s))), s...)
		}
	}
	frame := func(kind, flags byte, stream uint32, payload []byte) []byte {
		b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
		return append(binary.BigEndian.AppendUint32(b, stream), payload...)
	}
	const data, headers, reset, settings, goAway = 0, 1, 3, 4, 7
	conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	conn.Write(frame(settings, 0, 0, nil))
	conn.Write(frame(headers, 0x5, 1, block)) // ends the headers and the stream
	for {
		var head [9]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return body, answered
		}
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(conn, payload); err != nil {
			return body, answered
		}
		stream := binary.BigEndian.Uint32(head[5:])
		switch kind := head[3]; {
		case kind == goAway, kind == reset && stream == 1:
			return body, answered
		case kind == headers && stream == 1:
			answered = true
		case kind == data && stream == 1:
			body += string(payload)
		}
		if stream == 1 && (head[3] == data || head[3] == headers) && head[4]&1 != 0 {
			return body, answered
		}
	}
}

func TestOneAuthorityDecidesInHTTP2Too(t *testing.T) {
	g := newTarget(t, nil)
	pseudo := func(authority string, more ...field) []field {
		return append([]field{{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", authority}}, more...)
	}
	if body, _ := g.http2(acmeHost, pseudo(acmeHost)); body != "recorded\n" {
		t.Fatalf("a plain request is answered %q", body)
	}
	g.rec.Reset()
	for name, fields := range map[string][]field{
		"another host":             pseudo(acmeHost, field{"host", fluffyHost}),
		"two hosts":                pseudo(acmeHost, field{"host", acmeHost}, field{"host", fluffyHost}),
		"host for authority":       {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {"host", acmeHost}},
		"two authorities":          pseudo(acmeHost, field{":authority", fluffyHost}),
		"authority last":           {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {"x", "y"}, {":authority", acmeHost}},
		"upper-case name":          pseudo(acmeHost, field{"X-Tenant-ID", fluffy}),
		"tenant header":            pseudo(acmeHost, field{"x-tenant-id", fluffy}),
		"underscores":              pseudo(acmeHost, field{"x_tenant_id", fluffy}),
		"identity":                 pseudo(acmeHost, field{"tenant-identity", fluffy}),
		"connection":               pseudo(acmeHost, field{"connection", "tenant-identity"}),
		"line feed in a value":     pseudo(acmeHost, field{"x", "a\r\nX-Tenant-ID: " + fluffy}),
		"line feed in the path":    {{":method", "GET"}, {":scheme", "https"}, {":path", "/x HTTP/1.1\r\nHost: " + fluffyHost + "\r\n\r\n"}, {":authority", acmeHost}},
		"line feed in the method":  {{":method", "GET / HTTP/1.1\r\nX-Tenant-ID: " + fluffy + "\r\nX:"}, {":scheme", "https"}, {":path", "/"}, {":authority", acmeHost}},
		"transfer coding":          pseudo(acmeHost, field{"transfer-encoding", "chunked"}),
		"userinfo":                 pseudo("user@" + acmeHost),
		"another tenant":           pseudo(fluffyHost),
		"a path with an authority": {{":method", "GET"}, {":scheme", "https"}, {":path", "//" + fluffyHost + "/"}, {":authority", acmeHost}},
		"an absolute path":         {{":method", "GET"}, {":scheme", "https"}, {":path", "https://" + fluffyHost + "/"}, {":authority", acmeHost}},
		"unknown pseudo-header":    pseudo(acmeHost, field{":tenant", fluffy}),
		"Kelvin sign":              pseudo("\u212aelly.petstore.localhost"),
		"a slash":                  pseudo("a/b.petstore.localhost"),
		"invalid UTF-8":            pseudo("\xff.petstore.localhost"),
		"extended CONNECT":         {{":method", "CONNECT"}, {":protocol", "h2c"}, {":scheme", "https"}, {":path", "/"}, {":authority", acmeHost}},
		"CONNECT":                  {{":method", "CONNECT"}, {":authority", acmeHost}},
	} {
		body, answered := g.http2(acmeHost, fields)
		for _, r := range g.rec.Requests() {
			g.belongs(name, r, acme)
			if r.Host != acmeHost || r.Method != http.MethodGet {
				t.Errorf("%s: the backend saw %s for host %q", name, r.Method, r.Host)
			}
		}
		if n := len(g.rec.Requests()); n > 1 || n == 1 && strings.Contains(g.rec.Bytes(), "X-Tenant-ID: "+fluffy) {
			t.Errorf("%s: the backend saw %d requests:\n%s", name, n, g.rec.Bytes())
		}
		if len(g.rec.Requests()) == 0 && answered && body == "recorded\n" {
			t.Errorf("%s: an answer of the backend without a request", name)
		}
		g.rec.Reset()
	}
}
