package tlspermission

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

	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sourcetest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
)

// permission is the module as a running configuration has it, with a clock of
// the test's. Its only tenant has these domains.
func permission(t testing.TB, limit string, maxHosts int, hosts ...string) (*Permission, *time.Time) {
	t.Helper()
	if len(hosts) == 0 {
		hosts = []string{"pets.acme.example"}
	}
	list := registry.Open(registry.Options{Source: sourcetest.Static(registry.Record{Slug: "acme-pets", Hosts: hosts})})
	t.Cleanup(func() { _ = list.Close() })
	if err := list.WaitFirst(context.Background()); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := &Permission{
		Refusals: limit, MaxHosts: maxHosts, tenants: list.Snapshot, log: zap.NewNop(), now: func() time.Time { return now },
		counted: func(string) {}, sampled: tenancy.Sampler(),
	}
	if err := p.openCounters(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Cleanup() })
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
	p, _ := permission(t, "", 2, "c.example", "a.example", "b.example")
	for name, want := range map[string]error{"a.example": nil, "b.example": nil, "c.example": errOverBudget} {
		t.Run(name, func(t *testing.T) {
			if err := p.CertificateAllowed(context.Background(), name); !errors.Is(err, want) {
				t.Errorf("%v; want %v", err, want)
			}
		})
	}
}

func TestAFloodOfNamesTakesNoMemory(t *testing.T) {
	p, _ := permission(t, "", 9)
	reasons := make(map[string]bool)
	p.counted = func(decision string) { reasons[decision] = true }
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
	if len(reasons) > 8 {
		t.Errorf("%d metric series", len(reasons))
	}
}

func TestReloadingForgivesNoRefusals(t *testing.T) {
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
	p, _ := permission(b, "1000000/1h", 1)
	ctx := handshake(tcp("203.0.113.7"), "nobody.example")
	b.ReportAllocs()
	for b.Loop() {
		if p.CertificateAllowed(ctx, "nobody.example") == nil {
			b.Fatal("allowed")
		}
	}
}
