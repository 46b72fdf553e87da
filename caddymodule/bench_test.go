package caddymodule_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// BenchmarkProxied compares a plain reverse_proxy with the full chain in front
// of the same backend, over real sockets, in one run:
//
//	go test -run '^$' -bench Proxied -benchtime 3s ./caddymodule
//
// The median of all requests is the figure to look at; the mean carries every
// pause of the machine.
func BenchmarkProxied(b *testing.B) {
	for _, bench := range []struct{ name, site string }{
		{"plain", "reverse_proxy {backend}"},
		{"tenancy", fullSite},
	} {
		b.Run(bench.name, func(b *testing.B) {
			g := newGateway(b, strings.Replace(appOptions, "5/1h", "100000000/1h", 1), bench.site)
			g.backend.forgetful = true
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			took := make([]time.Duration, 0, 1<<16)
			for b.Loop() {
				req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+g.addr+"/api/pets", nil)
				if err != nil {
					b.Fatal(err)
				}
				req.Host = "acme-pets.pets.test"
				start := time.Now()
				resp, err := transport.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				took = append(took, time.Since(start))
				if resp.StatusCode != http.StatusOK {
					b.Fatal(resp.Status)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "median-ns")
		})
	}
}

// BenchmarkHandlers is the gateway's own part alone: what the three handlers
// add to a request inside Caddy, without sockets.
func BenchmarkHandlers(b *testing.B) {
	for _, bench := range []struct{ name, site string }{
		{"respond", "respond ok"},
		{"tenant", "tenant host pets.test\nrespond ok"},
		{"tenant+limit", "tenant host pets.test\ntenant_rate_limit\nrespond ok"},
		{"tenant+limit+identity", "tenant host pets.test\ntenant_rate_limit\ntenant_identity\nrespond ok"},
		{"refused", "tenant host other.test\nrespond ok"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			newGateway(b, strings.Replace(appOptions, "5/1h", "100000000/1h", 1), bench.site)
			app, err := caddy.ActiveContext().App("http")
			if err != nil {
				b.Fatal(err)
			}
			srv := app.(*caddyhttp.App).Servers["srv0"]
			w := &discard{header: make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				srv.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://acme-pets.pets.test/", nil))
			}
		})
	}
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }
