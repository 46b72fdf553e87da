package attacks

import (
	"fmt"
	"strings"
)

// malformed is a request that no proper client would send.
type malformed struct {
	name, text string
	// status is what RFC 9110 and RFC 9112 ask of a server that does not know the
	// version or the transfer coding, said by Go's server before any handler;
	// empty for any answer that blames the client.
	status string
	// half says that it is not whole: the connection is closed behind it.
	half bool
}

// corpus is every malformed request; token lets bodies be read.
func corpus(token string) (all []malformed) {
	half := false
	add := func(kind string, list ...string) {
		for i, text := range list {
			all = append(all, malformed{name: fmt.Sprintf("%s %d", kind, i+1), text: text, half: half})
		}
	}
	end := "\r\n" + hostLine + "\r\nConnection: close\r\n\r\n"
	for _, line := range []string{
		"GET", "GET /", "GET / HTTP/1.1 x", "get / HTTP/1.1", "G@T / HTTP/1.1", "GET  / HTTP/1.1", "/ HTTP/1.1", " GET / HTTP/1.1",
		"GET /\x00 HTTP/1.1", "GET /%zz HTTP/1.1", "GET /% HTTP/1.1", "GET * HTTP/1.1", "OPTIONS * HTTP/1.1", "CONNECT " + acmeHost + ":443 HTTP/1.1",
		"CONNECT / HTTP/1.1", "TRACE / HTTP/1.1", "GET http:// HTTP/1.1", "GET http://[::1 HTTP/1.1", "GET // HTTP/1.1", "GET /..%2f.. HTTP/1.1",
		"GET /\\ HTTP/1.1", "GET /# HTTP/1.1", "GET /?%zz HTTP/1.1", "GET /?;&= HTTP/1.1", "GET /\xff\xfe HTTP/1.1", "GET ? HTTP/1.1", "GET api HTTP/1.1",
		"GET /" + strings.Repeat("x", 100_000) + " HTTP/1.1", strings.Repeat("X", 10_000) + " / HTTP/1.1", "GET / HTTP/1.1\nX: y", "GET / HTTP/1.10", "GET / HTTP/x.y", "GET / http/1.1",
	} {
		add("request line "+fmt.Sprintf("%.20q", line), line+end)
	}
	for _, version := range []string{"HTTP/0.9", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9"} {
		all = append(all, malformed{name: "version " + version, text: "GET / " + version + end, status: "505"})
	}
	for _, coding := range []string{"gzip", "identity", "xchunked", "chunked, gzip", "gzip, chunked", "\"chunked\"", ""} {
		all = append(all, malformed{name: "transfer coding " + coding, text: "POST / HTTP/1.1\r\nTransfer-Encoding: " + coding + end, status: "501"})
	}
	half = true
	add("bytes", "\r\n\r\n", "\x16\x03\x01\x00\x05hello", "\x00\x00\x00\x00", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", strings.Repeat("\xff", 1000)+"\r\n\r\n", "{}\r\n\r\n")
	for kind, body := range brokenBodies {
		if !body.reset {
			add(kind, "POST /api/pets HTTP/1.1\r\nContent-Type: application/json\r\nAuthorization: Bearer "+token+"\r\n"+hostLine+"\r\nConnection: close\r\n"+body.text)
		}
	}
	half = false

	for _, host := range []string{"", "Host:\r\n", "Host: \r\n", "Host: a b\r\n", "Host: user@" + acmeHost + "\r\n", "Host: [::1\r\n", "Host: " + acmeHost + ":x\r\n", "Host: \x00\r\n", "Host: /\r\n",
		hostLine + "\r\n" + hostLine + "\r\n", "Host: " + strings.Repeat("h", 70_000) + "\r\n", "Host: \xff\r\n", "Host: ..\r\n", "Host: %41\r\n"} {
		add(fmt.Sprintf("host %.20q", host), "GET / HTTP/1.1\r\n"+host+"Connection: close\r\n\r\n")
	}
	for _, field := range []string{
		"no colon", ": no name", "a b: c", "a\x00b: c", "a: b\x00c", "a: b\x7fc", "\xff: x", "a : b", " folded: at first", "a:\r\n b", "a: \r b", "Expect: 200-nothing", "Range: bytes=x", "Range: bytes=9-1,,",
		"If-Modified-Since: yesterday", "Accept-Encoding: ;q=;", "Accept: " + strings.Repeat("*/*,", 20_000), "Cookie: " + strings.Repeat("a=b;", 20_000), "Upgrade: websocket", "Upgrade: websocket\r\nConnection: Upgrade", "Upgrade: h2c\r\nHTTP2-Settings: ?\r\nConnection: Upgrade, HTTP2-Settings",
		"Connection: Upgrade", "Connection: ,,,", "Trailer: Content-Length", "Trailer: \x01", "TE: x", "Via: \x01", "Forwarded: for=;;", "X-Forwarded-For: ,,;", "Authorization: Bearer", "Authorization: Bearer a.b.c", "Authorization: Basic !!!", "Authorization: Bearer " + strings.Repeat("x", 50_000),
		"X-API-Key: tk_", "X-Tenant-ID: \"", "Content-Type: ;;", "Content-Type: multipart/form-data", "Content-Encoding: gzip", "Origin: :", "Sec-WebSocket-Key: x", "Max-Forwards: -1",
	} {
		add(fmt.Sprintf("header %.24q", field), "GET /api/pets HTTP/1.1\r\n"+hostLine+"\r\nConnection: close\r\n"+field+"\r\n\r\n")
	}
	for _, length := range []string{"x", "-1", "+1", "0x1", "1e3", "1.0", "99999999999999999999", "1, 2", "1\r\nContent-Length: 2", "1;x", "", "\"1\""} {
		add(fmt.Sprintf("length %.20q", length), "POST /api/pets HTTP/1.1\r\nContent-Length: "+length+end+"x")
	}
	send := func(method, path, kind, body string) string {
		return fmt.Sprintf("%s %s HTTP/1.1\r\nContent-Type: %s\r\nAuthorization: Bearer %s\r\nContent-Length: %d%s%s", method, path, kind, token, len(body), end, body)
	}
	for _, body := range []string{
		"", "{", "[]", "null", "true", `"x"`, "{}", `{"name":1}`, `{"name":null}`, `{"name":"a","name":"b"}`, `{"name":"a","NAME":"b"}`, `{"name":"a","species":"b"}x`, `{"name":"a","species":"b","tenant_id":"` + fluffy + `"}`,
		`{"name":"\ud800","species":"b"}`, "{\"name\":\"\xff\",\"species\":\"b\"}", "{\"name\":\"\x00\"}", `{"name":"\u0000","species":"b"}`, "\ufeff{}", `{"name":1e999}`, strings.Repeat("[", 10_000), strings.Repeat(`{"a":`, 10_000), `{"name":"` + strings.Repeat("x", 2<<20) + `"}`,
		`{"name":"a","species":"b","tags":[` + strings.Repeat(`"x",`, 10_000) + `"y"]}`, `{"name":"a","species":"b","birth_date":"0000-00-00"}`, `{"name":"a","species":"b","microchip_id":"'; DROP TABLE pets; --"}`, `{"name":"a","species":"b","id":"x"}`, "<x/>",
	} {
		add(fmt.Sprintf("body %.24q", body), send("POST", "/api/pets", "application/json", body), send("PUT", "/api/pets/x", "application/json", body), send("PATCH", "/api/pets/x", "text/plain", body))
	}
	for _, path := range []string{
		"/api/pets/%00", "/api/pets/%ff", "/api/pets/..", "/api/pets/" + strings.Repeat("x", 5000), "/api/pets/a%2fb", "/api/pets?limit=-1", "/api/pets?limit=99999999999999999999", "/api/pets?limit=x&limit=y", "/api/pets?cursor=!!!", "/api/pets?cursor=" + strings.Repeat("A", 5000),
		"/api/pets?species=%00", "/api/pets?%zz", "/api/config/%00", "/api/hosts/%00", "/api/nothing", "/api/token",
	} {
		for _, method := range []string{"GET", "DELETE", "PUT", "POST"} {
			add(fmt.Sprintf("%s %.24q", method, path), send(method, path, "application/json", "{}"))
		}
	}
	return all
}
