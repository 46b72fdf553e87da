// Package tlspermission is the module tls.permission.tenant.
package tlspermission

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/attempts"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/shared"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func init() { caddy.RegisterModule(new(Permission)) }

// Permission allows on-demand certificates for the own domains of active
// tenants and for nothing else. It asks the index in memory and never does
// I/O, so that a flood of made-up names costs next to nothing.
//
// Caddy asks it only for names without a certificate in memory: what is served
// already goes on being served whatever it says.
type Permission struct {
	// How many names a client may ask for in vain, as in `60/1m`, which is the
	// default. Beyond that every name is refused to that client until its count
	// has gone down, so that it can't find out by trying whose domains are
	// here. An IPv6 client is its /64. `off` counts nothing: for gateways behind
	// a balancer that hides the clients' addresses.
	Refusals string `json:"refusals,omitempty"`

	// How many domains of one tenant get certificates: the first ones in
	// alphabetical order. Default: 100.
	MaxHosts int `json:"max_hosts,omitempty"`

	tenants  func() *registry.Snapshot
	log      *zap.Logger
	now      func() time.Time
	counted  func(decision string) // for metrics
	tcp, udp *shared.Reference[*attempts.Counter]
	sampled  *rate.Limiter
	unsaid   atomic.Int64 // refusals over the limit since the last line in the log
}

const (
	defaultRefusals = "60/1m"
	defaultMaxHosts = 100
)

// CaddyModule returns the module's identity.
func (*Permission) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tls.permission.tenant", New: func() caddy.Module { return new(Permission) }}
}

// Provision finds the app and the counter of refusals.
func (p *Permission) Provision(ctx caddy.Context) error {
	p.log = ctx.Logger()
	p.now = time.Now
	p.sampled = tenancy.Sampler()
	if p.MaxHosts == 0 {
		p.MaxHosts = defaultMaxHosts
	}
	if p.MaxHosts < 0 {
		return fmt.Errorf("permission tenant: max_hosts %d: expected at least 1", p.MaxHosts)
	}
	app, err := tenancy.AppOf(ctx, "permission tenant")
	if err != nil {
		return err
	}
	p.tenants, p.counted = app.Tenants, app.Metrics().Certificate
	return p.openCounters()
}

// openCounters finds or makes the counters of names that were asked for in vain.
//
// The first packet of QUIC proves nothing about the sender's address, so those
// handshakes have a count of their own: who forges addresses can take new
// certificates over HTTP/3 from others, and nothing over TCP.
func (p *Permission) openCounters() error {
	if p.Refusals == "" {
		p.Refusals = defaultRefusals
	}
	most, err := attempts.Parse("permission tenant: refusals", p.Refusals)
	if err != nil {
		return err
	}
	if p.tcp, err = attempts.Hold("handshakes tcp", most); err != nil {
		return err
	}
	p.udp, err = attempts.Hold("handshakes udp", most)
	return err
}

// Cleanup gives the counters back.
func (p *Permission) Cleanup() error { return errors.Join(p.tcp.Release(), p.udp.Release()) }

// Why a name gets no certificate, besides the errors of package tenant.
var (
	errTooManyRefusals = errors.New("too many names asked for in vain")
	errOverBudget      = errors.New("more domains than a tenant has certificates for")
)

// CertificateAllowed returns nil if name is the domain of an active tenant. It
// refuses by an error that wraps [caddytls.ErrPermissionDenied].
func (p *Permission) CertificateAllowed(ctx context.Context, name string) error {
	hello, _ := ctx.Value(certmagic.ClientHelloInfoCtxKey).(*tls.ClientHelloInfo)
	client := p.clientOf(hello)
	now := p.now()
	err := p.decide(client, name, now)
	p.counted(decisionOf(err))
	if err == nil {
		return nil
	}
	// Without a server name there is no guess: balancers look whether a
	// gateway is alive in this way.
	if hello != nil && hello.ServerName != "" {
		client.failed(now)
	}
	if errors.Is(err, errTooManyRefusals) {
		p.warn(hello, name, now)
	}
	return fmt.Errorf("%w: %w", caddytls.ErrPermissionDenied, err)
}

// decide is the decision. The client's count comes first, so that a client
// over its limit learns nothing.
func (p *Permission) decide(client client, name string, now time.Time) error {
	if client.tooMany(now) {
		return errTooManyRefusals
	}
	host, err := tenant.NormalizeHost(name)
	if err != nil {
		return err
	}
	t := p.tenants().ByHost(host)
	if err := tenant.Check(t); err != nil {
		return err
	}
	// The hosts of a tenant are sorted: gateways agree on who is within the
	// budget without talking to one another.
	if i, found := slices.BinarySearch(t.Hosts, host); !found || i >= p.MaxHosts {
		return errOverBudget
	}
	return nil
}

// client is where a client's failed attempts are counted; the zero value counts
// nothing.
type client struct {
	counter *attempts.Counter
	addr    netip.Addr
}

// clientOf returns the client that sent the hello, which is nil when Caddy renews in
// the background.
func (p *Permission) clientOf(hello *tls.ClientHelloInfo) client {
	if hello == nil || hello.Conn == nil {
		return client{}
	}
	switch a := hello.Conn.RemoteAddr().(type) {
	case *net.TCPAddr:
		return client{p.tcp.Get(), a.AddrPort().Addr()}
	case *net.UDPAddr:
		return client{p.udp.Get(), a.AddrPort().Addr()}
	}
	return client{}
}

func (c client) tooMany(now time.Time) bool {
	_, tooMany := c.counter.TooMany(c.addr, now)
	return c.addr.IsValid() && tooMany
}

func (c client) failed(now time.Time) {
	if c.addr.IsValid() {
		c.counter.Failed(c.addr, now)
	}
}

// decisionOf names a decision for metrics. The names are a fixed set: none is a
// client's.
func decisionOf(err error) string {
	switch {
	case err == nil:
		return "allowed"
	case errors.Is(err, errTooManyRefusals):
		return "client_limited"
	case errors.Is(err, errOverBudget):
		return "over_budget"
	}
	return tenant.Reason(err)
}

// warn tells the operator of clients over the limit, in one line per interval
// however many there are.
func (p *Permission) warn(hello *tls.ClientHelloInfo, name string, now time.Time) {
	p.unsaid.Add(1)
	if !p.sampled.AllowN(now, 1) {
		return
	}
	if len(name) > 80 {
		name = name[:80] + "..."
	}
	p.log.Warn("refusing handshakes of a client that asked for too many names of no tenant; if it is a balancer, let it send the PROXY protocol or set 'refusals off'",
		zap.Stringer("client", hello.Conn.RemoteAddr()), zap.String("name", name), zap.Int64("refused", p.unsaid.Swap(0)))
}

var (
	_ caddy.Provisioner           = (*Permission)(nil)
	_ caddy.CleanerUpper          = (*Permission)(nil)
	_ caddytls.OnDemandPermission = (*Permission)(nil)
)
