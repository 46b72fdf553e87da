package caddymodule_test

import (
	"strings"
	"testing"
)

func TestRequestsThatAreForNoResourceOfATenantAreNotProxied(t *testing.T) {
	g := newGateway(t, appOptions, fullSite)
	const host = "acme-pets.pets.test"
	for request, want := range map[string]string{
		"CONNECT " + host + ":443 HTTP/1.1":      "405",
		"CONNECT / HTTP/1.1":                     "405",
		"TRACE / HTTP/1.1":                       "405",
		"GET * HTTP/1.1":                         "400",
		"PRI * HTTP/1.1":                         "400",
		"GET http://user@" + host + "/ HTTP/1.1": "400",
		"GET /a#/../b HTTP/1.1":                  "400",
		"GET http://" + host + "/x#y HTTP/1.1":   "400",
	} {
		answer := g.raw(request + "\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
		if status(answer) != want {
			t.Errorf("%s: %.200s; want %s", request, answer, want)
		}
		if want == "405" && field(answer, "Allow") == "" {
			t.Errorf("%s: no Allow field (RFC 9110, section 15.5.6)", request)
		}
		g.backend.none(t)
	}
	// The same to whoever asks for a tenant that does not exist.
	for _, request := range []string{"TRACE / HTTP/1.1", "GET /a#b HTTP/1.1"} {
		one := g.raw(request + "\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
		if other := g.raw(request + "\r\nHost: nobody.pets.test\r\nConnection: close\r\n\r\n"); one != other {
			t.Errorf("%s: %q for a tenant, %q for none", request, one, other)
		}
	}
	if answer := g.get(host, "/a%23b"); status(answer) != "200" || g.backend.last(t).RequestURI != "/a%23b" {
		t.Errorf("an encoded number sign: %s", answer)
	}
}

func TestOnlyAWebSocketMayChangeTheProtocol(t *testing.T) {
	g := newGateway(t, appOptions, fullSite)
	for value, kept := range map[string]bool{"h2c": false, "websocket": true, "WebSocket": true, "h2c, websocket": false, "TLS/1.0": false, "": false} {
		answer := g.get("fluffy-friends.pets.test", "/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: "+value, "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")
		if status(answer) != "200" {
			t.Fatalf("%q: %s", value, answer)
		}
		r := g.backend.last(t)
		if got := strings.EqualFold(r.Header.Get("Upgrade"), "websocket"); got != kept || (!kept && len(r.Header["Upgrade"]) > 0) || len(r.Header["Http2-Settings"]) > 0 {
			t.Errorf("Upgrade: %q: the backend got %v", value, r.Header)
		}
	}
}
