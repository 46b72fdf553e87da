package caddymodule

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/caddyserver/certmagic"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// permission is the module as a running configuration has it, with a clock of
// the test's.
func permission(t *testing.T, limit string, maxHosts int) (*Permission, *time.Time) {
	t.Helper()
	app, err := caddy.ActiveContext().AppIfConfigured("tenancy")
	if err != nil {
		t.Fatal(err)
	}
	held, err := openRefusals(limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = held.release() })
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := &Permission{
		MaxHosts: maxHosts, app: app.(*App), log: app.(*App).log, now: func() time.Time { return now },
		held: held, sampled: newSampler(time.Second),
	}
	if held != nil {
		p.refusals = held.value
	}
	return p, &now
}

type addressed struct {
	net.Conn
	remote net.Addr
}

func (c addressed) RemoteAddr() net.Addr { return c.remote }

// handshake is what certmagic hands over during a client's handshake.
func handshake(remote net.Addr, name string) context.Context {
	return context.WithValue(context.Background(), certmagic.ClientHelloInfoCtxKey,
		&tls.ClientHelloInfo{ServerName: name, Conn: addressed{remote: remote}})
}

func tcp(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 4711} }

func TestAClientThatAsksForTooManyNamesInVainGetsNone(t *testing.T) {
	newGateway(t, appOptions, fullSite)
	p, now := permission(t, "5/17m", 9)
	const own = "pets.acme.example"
	ask := func(remote net.Addr, name string) error { return p.CertificateAllowed(handshake(remote, name), name) }
	ipv4, other := tcp("203.0.113.7"), tcp("203.0.113.8")
	for i := range 5 {
		if err := ask(ipv4, own); err != nil {
			t.Fatalf("after %d refusals: %v", i, err)
		}
		if err := ask(ipv4, fmt.Sprintf("n%d.example", i)); !errors.Is(err, caddytls.ErrPermissionDenied) || errors.Is(err, errTooManyRefusals) {
			t.Fatalf("name %d of no tenant: %v", i, err)
		}
	}
	if err := ask(ipv4, own); !errors.Is(err, errTooManyRefusals) || !errors.Is(err, caddytls.ErrPermissionDenied) {
		t.Errorf("a client over its limit: %v", err)
	}
	if err := ask(other, own); err != nil {
		t.Errorf("another client: %v", err)
	}
	if err := ask(&net.UDPAddr{IP: net.ParseIP("203.0.113.7"), Port: 1}, own); err != nil {
		t.Errorf("QUIC, whose address is no proof: %v", err)
	}
	if err := p.CertificateAllowed(context.Background(), own); err != nil {
		t.Errorf("a renewal in the background: %v", err)
	}
	*now = now.Add(34 * time.Minute)
	if err := ask(ipv4, own); err != nil {
		t.Errorf("two windows later: %v", err)
	}

	for i := range 5 {
		_ = ask(tcp(fmt.Sprintf("2001:db8:1:2::%d", i)), "nobody.example")
	}
	if err := ask(tcp("2001:db8:1:2:ffff::1"), own); !errors.Is(err, errTooManyRefusals) {
		t.Errorf("another address of a /64 over its limit: %v", err)
	}
	if err := ask(tcp("2001:db8:1:3::1"), own); err != nil {
		t.Errorf("another /64: %v", err)
	}

	balancer := tcp("203.0.113.9")
	for range 20 {
		_ = p.CertificateAllowed(handshake(balancer, ""), "127.0.0.1")
	}
	if err := ask(balancer, own); err != nil {
		t.Errorf("after handshakes without a server name: %v", err)
	}

	off, _ := permission(t, "off", 9)
	for range 1000 {
		_ = off.CertificateAllowed(handshake(ipv4, "nobody.example"), "nobody.example")
	}
	if err := off.CertificateAllowed(handshake(ipv4, own), own); err != nil {
		t.Errorf("with refusals off: %v", err)
	}
}

func TestATenantHasCertificatesForSoManyDomains(t *testing.T) {
	g := newGateway(t, appOptions, fullSite)
	g.write("tenants.json", `{"tenants":[{"id":"t1","slug":"acme-pets","plan":"free","hosts":["c.example","a.example","b.example"]}]}`)
	p, _ := permission(t, "", 2)
	eventually(t, "the hosts are known", func() bool { return p.app.registry.value.Snapshot().ByHost("a.example") != nil })
	for name, want := range map[string]error{"a.example": nil, "b.example": nil, "c.example": errOverBudget} {
		if err := p.CertificateAllowed(context.Background(), name); !errors.Is(err, want) {
			t.Errorf("%s: %v; want %v", name, err, want)
		}
	}
}

func TestAFloodOfNamesTakesNoMemory(t *testing.T) {
	g := newGateway(t, appOptions, fullSite)
	p, _ := permission(t, "", 9)
	flood := func(n int) {
		for i := range n {
			remote := &net.TCPAddr{IP: net.IPv4(10, byte(i>>16), byte(i>>8), byte(i)), Port: 1}
			name := fmt.Sprintf("x%d-%s.example", i, strings.Repeat("y", i%50))
			if p.CertificateAllowed(handshake(remote, name), name) == nil {
				t.Fatalf("%s was allowed", name)
			}
		}
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	flood(1000)
	before := heap()
	flood(200_000)
	if after := heap(); after > before+(1<<20) {
		t.Errorf("the heap has grown from %d to %d bytes", before, after)
	}
	if n := testutil.CollectAndCount(prometheus.Collector(permissionMetrics.decisions)); n > 8 {
		t.Errorf("%d metric series", n)
	}
	g.backend.none(t)
}

func TestReloadingForgivesNoRefusals(t *testing.T) {
	newGateway(t, appOptions, fullSite)
	first, _ := permission(t, "2/41m", 9)
	for range 2 {
		_ = first.CertificateAllowed(handshake(tcp("203.0.113.7"), "nobody.example"), "nobody.example")
	}
	second, _ := permission(t, "2/41m", 9)
	if err := second.CertificateAllowed(handshake(tcp("203.0.113.7"), "pets.acme.example"), "pets.acme.example"); !errors.Is(err, errTooManyRefusals) {
		t.Errorf("after a reload: %v", err)
	}
}

func BenchmarkRefusingACertificate(b *testing.B) {
	newGateway(b, appOptions, fullSite)
	app, err := caddy.ActiveContext().AppIfConfigured("tenancy")
	if err != nil {
		b.Fatal(err)
	}
	held, err := openRefusals("1000000/1h")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = held.release() }()
	p := &Permission{MaxHosts: 1, app: app.(*App), now: time.Now, held: held, refusals: held.value, sampled: newSampler(time.Hour)}
	ctx := handshake(tcp("203.0.113.7"), "nobody.example")
	b.ReportAllocs()
	for b.Loop() {
		if p.CertificateAllowed(ctx, "nobody.example") == nil {
			b.Fatal("allowed")
		}
	}
}
