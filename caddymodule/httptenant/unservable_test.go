package httptenant

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/problem"
)

func TestWhatNoBackendCouldBeSentIsUnservable(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*http.Request)
		want   *problem.Problem
	}{
		"a plain request":        {func(*http.Request) {}, nil},
		"a port":                 {func(r *http.Request) { r.Host = "acme.pets.test:65535" }, nil},
		"an address":             {func(r *http.Request) { r.Host = "[::1]:80" }, nil}, // no tenant's: decided elsewhere
		"a port beyond":          {func(r *http.Request) { r.Host = "acme.pets.test:65536" }, problem.Request},
		"a port with a blank":    {func(r *http.Request) { r.Host = "acme.pets.test:80 " }, problem.Request},
		"an unknown method":      {func(r *http.Request) { r.Method = "PURGE" }, nil},
		"a method with a blank":  {func(r *http.Request) { r.Method = "GET " }, problem.Request},
		"a method with a comma":  {func(r *http.Request) { r.Method = "GET,POST" }, problem.Request},
		"no method":              {func(r *http.Request) { r.Method = "" }, problem.Request},
		"before the handshake":   {func(r *http.Request) { r.TLS = &tls.ConnectionState{} }, problem.Early},
		"no token, before it":    {func(r *http.Request) { r.TLS, r.Method = &tls.ConnectionState{}, "G T" }, problem.Early},
		"after the handshake":    {func(r *http.Request) { r.TLS = &tls.ConnectionState{HandshakeComplete: true} }, nil},
		"a method that is TRACE": {func(r *http.Request) { r.Method = http.MethodTrace }, problem.Method},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "http://acme.pets.test/", nil)
			test.change(r)
			if got := unservable(r); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
