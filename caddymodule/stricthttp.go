package caddymodule

import (
	"crypto/tls"
	"errors"
	"net"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

func init() { caddy.RegisterModule(StrictHTTP{}) }

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
// what follows a 101 are not looked at.
type StrictHTTP struct {
	log *zap.Logger
}

// CaddyModule implements [caddy.Module].
func (StrictHTTP) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.listeners.strict_http", New: func() caddy.Module { return new(StrictHTTP) }}
}

// Provision implements [caddy.Provisioner].
func (s *StrictHTTP) Provision(ctx caddy.Context) error {
	s.log = ctx.Logger()
	var twice prometheus.AlreadyRegisteredError
	if err := ctx.GetMetricsRegistry().Register(malformedRequests); err != nil && !errors.As(err, &twice) {
		return err
	}
	return nil
}

// malformedRequests lives as long as the process, as collectors do.
var malformedRequests = prometheus.NewCounterVec(prometheus.CounterOpts{
	Namespace: "caddy", Subsystem: "tenancy", Name: "malformed_requests_total",
	Help: "Requests that strict_http refused, by what was wrong with them.",
}, []string{"fault"})

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
func (s *StrictHTTP) WrapListener(l net.Listener) net.Listener { return &strictListener{l, s.log} }

type strictListener struct {
	net.Listener

	log *zap.Logger
}

func (l *strictListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	strict := &strictConn{Conn: conn, log: l.log}
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
	_ caddyfile.Unmarshaler = (*StrictHTTP)(nil)
)
