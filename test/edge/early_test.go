package edge

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// relay passes datagrams between one client and the gateway. While it is held, it keeps
// those of the gateway, so that no handshake gets to its end; what the client has sent
// can be sent once more.
type relay struct {
	net.PacketConn
	mu     sync.Mutex
	held   bool
	kept   [][]byte
	sent   [][]byte
	client net.Addr
	out    net.Conn
}

func startRelay(t testing.TB, port int) *relay {
	in, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); out.Close() })
	r := &relay{PacketConn: in, out: out}
	go func() {
		for buffer := make([]byte, 2048); ; {
			n, from, err := in.ReadFrom(buffer)
			if err != nil {
				return
			}
			r.mu.Lock()
			r.client = from
			r.sent = append(r.sent, append([]byte(nil), buffer[:n]...))
			r.mu.Unlock()
			_, _ = out.Write(buffer[:n])
		}
	}()
	go func() {
		for buffer := make([]byte, 2048); ; {
			n, err := out.Read(buffer)
			if err != nil {
				return
			}
			r.mu.Lock()
			if r.kept = append(r.kept, append([]byte(nil), buffer[:n]...)); !r.held {
				r.flush()
			}
			r.mu.Unlock()
		}
	}()
	return r
}

// flush passes on what is kept. The caller holds mu.
func (r *relay) flush() {
	for _, b := range r.kept {
		_, _ = r.WriteTo(b, r.client)
	}
	r.kept = nil
}

func (r *relay) hold(held bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held = held; !held {
		r.flush()
	}
	r.sent = nil
}

// replay sends what the client has sent from another address.
func (r *relay) replay(t testing.TB, port int) {
	t.Helper()
	other, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.sent {
		_, _ = other.Write(b)
	}
}

// ticketCache says when there is a ticket.
type ticketCache struct {
	tls.ClientSessionCache
	got chan struct{}
}

func (c ticketCache) Put(key string, s *tls.ClientSessionState) {
	c.ClientSessionCache.Put(key, s)
	if s != nil {
		select {
		case c.got <- struct{}{}:
		default:
		}
	}
}

// What comes in the early data of HTTP/3 may be a copy, from an address that nobody has
// checked: it is not done, not charged, and no failed attempt of anybody's.
func TestEarlyDataIsNotServed(t *testing.T) {
	var served atomic.Int64
	backend := listenBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/early" {
			served.Add(1)
		}
	}))
	g := startGateway(t, "", options()+tenantSite(backend))
	servedAt(t, g.https, "acme-pets.petstore.test", "/")
	remaining := func() string {
		return connect(t, g.https, "h2", "acme-pets.petstore.test").get("acme-pets.petstore.test", "/").header.Get("RateLimit")
	}
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		t.Run(method, func(t *testing.T) {
			served.Store(0)
			r := startRelay(t, g.https)
			client, conn := early(t, r, "acme-pets.petstore.test")
			before := remaining()
			refusals := g.metric(t, `rejected_requests_total{reason="unservable"}`)
			r.hold(true)
			stream := client()
			if err := stream.SendRequestHeader(&http.Request{Method: method, URL: &url.URL{Scheme: "https", Host: "acme-pets.petstore.test", Path: "/early"}, Host: "acme-pets.petstore.test", Header: http.Header{}}); err != nil {
				t.Fatal(err)
			}
			_ = stream.Close()
			harness.Eventually(t, patience, "the early request to be decided on", func() bool {
				return served.Load() > 0 || g.metric(t, `rejected_requests_total{reason="unservable"}`) > refusals
			})
			r.replay(t, g.https)
			r.hold(false)
			res, err := stream.ReadResponse()
			if err != nil || res.StatusCode != http.StatusTooEarly || !conn().ConnectionState().Used0RTT {
				t.Errorf("got %v, %v; want 425 for early data", res, err)
			}
			if n := served.Load(); n != 0 {
				t.Errorf("the backend saw %d requests", n)
			}
			if after := remaining(); less(before, after) != 1 {
				t.Errorf("the limit was at %q before and is at %q after, one request later", before, after)
			}
		})
	}
	text, err := os.ReadFile(harness.Root(t) + "/Caddyfile")
	if err != nil || !strings.Contains(string(text), "\n\t\t0rtt off\n") {
		t.Errorf("the shipped Caddyfile lets early data in: %v", err)
	}
}

// early makes a connection, for its ticket, and returns what makes another one with
// early data and opens a stream on it.
func early(t testing.TB, r *relay, host string) (open func() *http3.RequestStream, conn func() *quic.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cache := ticketCache{tls.NewLRUClientSessionCache(4), make(chan struct{}, 1)}
	config := &tls.Config{ServerName: host, InsecureSkipVerify: true, NextProtos: []string{"h3"}, ClientSessionCache: cache}
	address := r.LocalAddr().String()
	first, err := quic.DialAddr(ctx, address, config, nil)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-cache.got:
	case <-ctx.Done():
		t.Fatal("there is no ticket")
	}
	_ = first.CloseWithError(0x100, "")
	var second *quic.Conn
	return func() *http3.RequestStream {
		if second, err = quic.DialAddrEarly(ctx, address, config, nil); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = second.CloseWithError(0x100, "") })
		stream, err := new(http3.Transport).NewClientConn(second).OpenRequestStream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}, func() *quic.Conn { return second }
}

// less is the difference of what is left by two RateLimit fields.
func less(before, after string) (n int) {
	left := func(field string) (r int) {
		_, text, _ := strings.Cut(field, ";r=")
		_, _ = fmt.Sscanf(text, "%d", &r)
		return r
	}
	return left(before) - left(after)
}

// metric is the value of a series, 0 if there is none.
func (g *gateway) metric(t testing.TB, series string) (value float64) {
	t.Helper()
	res, err := adminClient.Get(g.adminURL("/metrics"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	_, rest, _ := strings.Cut(string(text), series+" ")
	_, _ = fmt.Sscanf(rest, "%g", &value)
	return value
}
