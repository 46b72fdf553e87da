package edge

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// onDemand is the permission with a client's limit of the test's.
func onDemand(refusals string) string {
	return lines("on_demand_tls {", "permission tenant {", "refusals "+refusals, "}", "}")
}

func TestOnlyVerifiedDomainsOfActiveTenantsGetACertificate(t *testing.T) {
	recorder := harness.StartRecorder(t)
	g := startGateway(t, "", options(onDemand("5/1h"))+tenantSite(fmt.Sprintf("127.0.0.1:%d", recorder.Port)))
	for _, protocol := range protocols {
		servedAt(t, g.https, "pets.acme.example", "/")
		c := connect(t, g.https, protocol, "pets.acme.example")
		c.issuedFor("pets.acme.example")
		if a := c.get("pets.acme.example", "/"); a.status != http.StatusOK {
			t.Errorf("%s: %+v", protocol, a)
		}
		for _, name := range []string{"sleepy.example", "www.pets.acme.example", "nobody.example"} {
			if _, err := tryConnect(t, g.https, protocol, name); err == nil {
				t.Errorf("%s: a handshake for %s succeeded", protocol, name)
			}
		}
	}
	// This client has had more than five refusals.
	if _, err := tryConnect(t, g.https, "http/1.1", "fluffy.example"); err == nil {
		t.Error("a client over its limit got a certificate that it was the first to ask for")
	}
	servedAt(t, g.https, "pets.acme.example", "/")
	if names := strings.Join(g.certificates(), " "); strings.Contains(names, "sleepy") || strings.Contains(names, "fluffy") || strings.Contains(names, "nobody") {
		t.Errorf("certificates: %s", names)
	}
}

func TestAFloodOfServerNamesLeavesNothingBehind(t *testing.T) {
	g := startGateway(t, "", options(onDemand("60/1m"))+tenantSite("127.0.0.1:1"))
	flood(t, g.https, 2000) // whatever is made once is made now
	certificates, log, memory := len(g.certificates()), len(g.process.Log()), g.heap()
	flood(t, g.https, 100_000)
	if n := len(g.certificates()); n != certificates {
		t.Errorf("%d certificates were made: %q", n-certificates, g.certificates())
	}
	if grown := len(g.process.Log()) - log; grown > 16<<10 {
		t.Errorf("the log has grown by %d bytes", grown)
	}
	if after := g.heap(); after > memory+(8<<20) {
		t.Errorf("the heap has grown from %.0f to %.0f bytes", memory, after)
	}
	decisions := 0.0
	for _, line := range g.metrics("caddy_tenancy_certificate_decisions_total") {
		decisions += line.value
	}
	if n := len(g.metrics("caddy_tenancy_certificate_decisions_total")); n > 8 || decisions < 102_000 {
		t.Errorf("%.0f decisions in %d series; want at least 102000 in at most 8", decisions, n)
	}
}

// flood opens n connections with a ClientHello for a name of its own each, from
// a few hundred addresses, and waits for each to be refused.
func flood(t *testing.T, port, n int) {
	t.Helper()
	const placeholder = "x0000000000.flood.example"
	hello := clientHello(t, placeholder)
	at := strings.Index(hello, placeholder)
	if at < 0 {
		t.Fatal("the ClientHello has no server name")
	}
	var wg sync.WaitGroup
	const workers = 8
	for w := range workers {
		wg.Go(func() {
			dialer := net.Dialer{}
			alert := make([]byte, 64)
			for i := w; i < n; i += workers {
				dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 1, byte(i%3), byte(1+i%101))}
				conn, err := dialer.DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
				if err != nil {
					t.Errorf("connecting: %v", err)
					return
				}
				_ = conn.(*net.TCPConn).SetLinger(0) // leaves no port waiting
				_, err = io.WriteString(conn, hello[:at]+fmt.Sprintf("x%010d", i)+hello[at+11:])
				if err == nil {
					_, err = io.ReadAtLeast(conn, alert, 1)
				}
				conn.Close()
				if err != nil || alert[0] != 0x15 { // a TLS record of type alert
					t.Errorf("the answer to a ClientHello begins with %#x: %v", alert[0], err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// clientHello is the first flight of a handshake.
func clientHello(t *testing.T, serverName string) string {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		_ = tls.Client(client, &tls.Config{ServerName: serverName, NextProtos: []string{"h2"}}).HandshakeContext(context.Background())
	}()
	record := make([]byte, 16<<10)
	n, err := server.Read(record)
	if err != nil {
		t.Fatal(err)
	}
	return string(record[:n])
}

// sample is one line of the metrics.
type sample struct {
	name  string // with labels
	value float64
}

// metrics returns the gateway's samples whose names begin so.
func (g *gateway) metrics(prefix string) []sample {
	g.t.Helper()
	var all []sample
	for line := range strings.Lines(g.fromAdmin("/metrics")) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			g.t.Fatalf("reading the metric %q: %v", line, err)
		}
		all = append(all, sample{name, v})
	}
	return all
}

// heap is what is on the gateway's heap after a collection.
func (g *gateway) heap() float64 {
	g.t.Helper()
	g.fromAdmin("/debug/pprof/heap?gc=1") // collects garbage first
	all := g.metrics("go_memstats_heap_alloc_bytes")
	if len(all) != 1 {
		g.t.Fatalf("the heap's metric: %v", all)
	}
	return all[0].value
}
