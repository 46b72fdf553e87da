package stricthttp

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/framing"
)

// strictConn is a client's connection. The server has one reader at a time.
type strictConn struct {
	net.Conn

	encrypted connectionStater // nil without TLS
	log       *zap.Logger
	refused   func(fault string)
	checker   framing.Checker
	// refusal takes the place of what a client sent from a fault on, nil before one.
	refusal *strings.Reader

	// begun says that the client has sent something, after a handshake if there is one,
	// and preface what it must send next on a connection that is for HTTP/2.
	begun   bool
	preface string
	// unchecked says that what the client sends is not HTTP/1: the handshake agreed on
	// HTTP/2, or the server has given the connection to a handler (see changed).
	unchecked atomic.Bool
}

// refusedBytes are no part of a request to Go's server, wherever in a head or around a chunk
// it comes: that has no zero byte in a line and no chunk line that ends without a CR.
// So it is the server that answers 400, in turn, and closes; requests before it get
// their answers.
const refusedBytes = "\x00\n\r\n"

func (c *strictConn) Read(p []byte) (int, error) {
	if c.refusal != nil {
		return c.refusal.Read(p)
	}
	n, err := c.Conn.Read(p)
	if !c.begun {
		c.begin(n, err)
	}
	if n == 0 {
		return n, err
	}
	if c.unchecked.Load() {
		return c.expect(p[:n], err)
	}
	good := c.checker.Check(p[:n])
	if good == n {
		return n, err
	}
	fault := string(c.checker.Fault())
	c.refused(fault)
	c.log.Debug("refusing a request that can be read in two ways", zap.Stringer("client", c.RemoteAddr()), zap.String("fault", fault))
	c.refusal = strings.NewReader(refusedBytes)
	if good == 0 {
		return c.refusal.Read(p)
	}
	return good, nil
}

// begin looks at the first bytes, or at why there are none. The server knows from the
// handshake what will come; a wrapped connection it would ask for the bytes only.
func (c *strictConn) begin(n int, err error) {
	if c.begun = n > 0; !c.begun {
		if err != nil && c.encrypted != nil {
			c.failed(err)
		}
		return
	}
	if c.encrypted == nil {
		return
	}
	if c.encrypted.ConnectionState().NegotiatedProtocol == "h2" {
		c.preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
		c.unchecked.Store(true)
	} else {
		c.checker.HTTP1 = true
	}
}

// expect ends a connection for HTTP/2 that does not begin like one.
func (c *strictConn) expect(p []byte, err error) (int, error) {
	if c.preface == "" {
		return len(p), err
	}
	n := min(len(p), len(c.preface))
	if string(p[:n]) != c.preface[:n] {
		c.refusal = strings.NewReader("")
		return 0, io.EOF
	}
	c.preface = c.preface[n:]
	return len(p), err
}

// clientAddr is a client's address, by which changed finds the connection: the server
// knows it inside of wrappers of Caddy's, whose types are private.
type clientAddr struct {
	net.Addr

	conn *strictConn
}

// RemoteAddr returns the client's address.
func (c *strictConn) RemoteAddr() net.Addr { return clientAddr{c.Conn.RemoteAddr(), c} }

// changed is told by the server what becomes of a connection. The checking ends where
// the server gives the connection away, which is how protocols are changed: what goes
// over it never says so reliably, since a body may look like the answer that does.
func changed(conn net.Conn, state http.ConnState) {
	if client, ok := conn.RemoteAddr().(clientAddr); ok && state == http.StateHijacked {
		client.conn.unchecked.Store(true)
	}
}

// CloseWrite lets the server end an answer before the connection.
func (c *strictConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// failed does for a handshake that failed what the server does for connections of its
// own: it tells who speaks HTTP to a TLS port what is wrong, and logs the rest.
func (c *strictConn) failed(err error) {
	var record tls.RecordHeaderError
	if errors.As(err, &record) && record.Conn != nil {
		switch string(record.RecordHeader[:]) {
		case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
			_, _ = io.WriteString(record.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
			_ = record.Conn.Close()
		}
	}
	c.log.Debug("TLS handshake failed", zap.Stringer("client", c.RemoteAddr()), zap.Error(err))
}
