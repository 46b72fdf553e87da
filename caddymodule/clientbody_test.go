package caddymodule_test

import (
	"strings"
	"testing"
)

func TestABodyThatTheClientBreaksIsItsOwnFault(t *testing.T) {
	g := newGateway(t, appOptions, fullSite)
	const head = "POST / HTTP/1.1\r\nHost: fluffy-friends.pets.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, body := range []string{"zz\r\n\r\n", "1\r\nxx0\r\n\r\n", "10000000000000000\r\nx", "0;\n\r\n\r\n", "1\r\nx\r\n-1\r\n"} {
		answer := g.raw(head + body)
		if status(answer) != "400" || field(answer, "Content-Type") != "application/problem+json" {
			t.Errorf("body %q: %s", body, answer)
		}
	}
	if answer := g.raw(head + "1\r\nx\r\n0\r\n\r\n"); status(answer) != "200" {
		t.Errorf("a whole body: %s", answer)
	}
}

// Where backends are taken out when they fail, a client's fault must not do it:
// all tenants share the backend.
func TestABodyThatTheClientBreaksTakesNoBackendOut(t *testing.T) {
	g := newGateway(t, appOptions, strings.Replace(fullSite, "reverse_proxy {backend}",
		"request_body {\n max_size 10\n }\n reverse_proxy {backend} {\n fail_duration 1m\n max_fails 1\n }", 1))
	const head = "POST / HTTP/1.1\r\nHost: fluffy-friends.pets.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
	for body, want := range map[string]string{"zz\r\n\r\n": "400", "b\r\n01234567890\r\n0\r\n\r\n": "413"} {
		if answer := g.raw(head + body); status(answer) != want {
			t.Errorf("body %q: %s", body, answer)
		}
		if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "200" {
			t.Fatalf("another tenant after body %q: %s", body, answer)
		}
	}
}

func TestABackendThatFailsIsNotTheClientsFault(t *testing.T) {
	g := newGateway(t, appOptions, strings.Replace(fullSite, "{backend}", "127.0.0.1:1", 1))
	answer := g.raw("POST / HTTP/1.1\r\nHost: fluffy-friends.pets.test\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
	if status(answer) != "502" {
		t.Error(answer)
	}
}
