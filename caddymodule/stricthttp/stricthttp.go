// Package stricthttp is the listener wrapper `strict_http`.
package stricthttp

import (
	"crypto/tls"
	"errors"
	"net"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/metrics"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/shared"
)

func init() { caddy.RegisterModule(new(StrictHTTP)) }

// StrictHTTP is a listener wrapper, `strict_http` in a Caddyfile: HTTP/1 requests
// that two programs may read in two ways get 400, and their connection ends:
//
//	servers {
//		listener_wrappers {
//			strict_http
//		}
//	}
//
// Behind other wrappers it comes after `tls`, where there is something to read. What
// counts is in [framing.Fault], and how often it came in a metric. HTTP/2, HTTP/3 and
// what follows a change of the protocol, such as to WebSocket, are not looked at. That
// the protocol changes is learned from the handshake and from the server.
type StrictHTTP struct {
	log     *zap.Logger
	metrics *shared.Reference[*metrics.Metrics]
}

// CaddyModule implements [caddy.Module].
func (*StrictHTTP) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.listeners.strict_http", New: func() caddy.Module { return new(StrictHTTP) }}
}

// Provision implements [caddy.Provisioner].
func (s *StrictHTTP) Provision(ctx caddy.Context) error {
	s.log = ctx.Logger()
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return errors.New("strict_http: expected to be a listener wrapper of an HTTP server")
	}
	server.RegisterConnState(changed)
	var err error
	s.metrics, err = metrics.Hold(ctx.GetMetricsRegistry())
	return err
}

// Cleanup gives the metrics back.
func (s *StrictHTTP) Cleanup() error { return s.metrics.Release() }

// UnmarshalCaddyfile implements [caddyfile.Unmarshaler]. There are no options.
func (s *StrictHTTP) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("strict_http: unknown option %q; there are none", d.Val())
	}
	return nil
}

// WrapListener implements [caddy.ListenerWrapper].
func (s *StrictHTTP) WrapListener(l net.Listener) net.Listener {
	return &strictListener{l, s.log, s.metrics.Value.Malformed}
}

type strictListener struct {
	net.Listener

	log     *zap.Logger
	refused func(fault string) // for metrics
}

func (l *strictListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	strict := &strictConn{Conn: conn, log: l.log, refused: l.refused}
	if encrypted, ok := conn.(connectionStater); ok {
		strict.encrypted = encrypted
		return &strictTLSConn{strict, encrypted}, nil
	}
	return strict, nil
}

// connectionStater is a [tls.Conn] or a wrapper of one.
type connectionStater interface {
	ConnectionState() tls.ConnectionState
}

// strictTLSConn tells Caddy that there is TLS below it.
type strictTLSConn struct {
	*strictConn
	connectionStater
}

var (
	_ caddy.ListenerWrapper = (*StrictHTTP)(nil)
	_ caddy.Provisioner     = (*StrictHTTP)(nil)
	_ caddy.CleanerUpper    = (*StrictHTTP)(nil)
	_ caddyfile.Unmarshaler = (*StrictHTTP)(nil)
)
