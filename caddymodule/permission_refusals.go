package caddymodule

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/sketch"
)

// refusals counts the names that clients asked for in vain, in fixed memory.
//
// The first packet of QUIC proves nothing about the sender's address, so those
// handshakes have a count of their own: who forges addresses can take new
// certificates over HTTP/3 from others, and nothing over TCP.
type refusals struct {
	most     uint32
	tcp, udp *sketch.Counter
}

// Close implements io.Closer, for the pool. There is nothing to close.
func (*refusals) Close() error { return nil }

// parseRefusals reads a limit as in "60/1m"; nil means "off".
func parseRefusals(text string) (*ratelimit.Limit, error) {
	switch text {
	case "off":
		return nil, nil
	case "":
		text = defaultRefusals
	}
	limit, err := ratelimit.ParseLimit(text)
	if err != nil {
		return nil, fmt.Errorf("permission tenant: refusals: %w", err)
	}
	if limit.Window <= 0 || limit.Window > time.Hour || limit.N > 1_000_000 || limit.Level != ratelimit.PerClient {
		return nil, fmt.Errorf("permission tenant: refusals %q: expected at most 1000000 in at most 1h, as in 60/1m, or off", text)
	}
	return &limit, nil
}

// openRefusals finds or makes the counter, so that a reload forgives nobody.
func openRefusals(text string) (*pooled[*refusals], error) {
	limit, err := parseRefusals(text)
	if limit == nil {
		return nil, err
	}
	return hold(fmt.Sprintf("refusals %d %v", limit.N, limit.Window), func() (*refusals, error) {
		return &refusals{most: uint32(limit.N), tcp: sketch.New(limit.Window), udp: sketch.New(limit.Window)}, nil
	})
}

// refusingClient is a client's place in the counter; the zero value counts
// nothing.
type refusingClient struct {
	counter *sketch.Counter
	addr    netip.Addr
	most    uint32
}

// clientOf returns the place of the client that sent the hello, which is nil
// when Caddy renews in the background.
func (r *refusals) clientOf(hello *tls.ClientHelloInfo) refusingClient {
	if r == nil || hello == nil || hello.Conn == nil {
		return refusingClient{}
	}
	c := refusingClient{most: r.most}
	switch a := hello.Conn.RemoteAddr().(type) {
	case *net.TCPAddr:
		c.counter, c.addr = r.tcp, a.AddrPort().Addr()
	case *net.UDPAddr:
		c.counter, c.addr = r.udp, a.AddrPort().Addr()
	}
	if !c.addr.IsValid() {
		return refusingClient{}
	}
	c.addr = ratelimit.ClientKey(c.addr)
	return c
}

func (c refusingClient) tooMany(now time.Time) bool {
	return c.counter != nil && c.counter.Count(c.addr, now) >= c.most
}

func (c refusingClient) refused(now time.Time) {
	if c.counter != nil {
		c.counter.Add(c.addr, now)
	}
}
