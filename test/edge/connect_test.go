package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// protocols are the three that the gateway speaks, by their ALPN names.
var protocols = []string{"http/1.1", "h2", "h3"}

// connection is one connection to the gateway. Unlike a client it sends every
// request on that connection, whatever its host.
type connection struct {
	t testing.TB
	// cert is the certificate that the gateway showed.
	cert  *x509.Certificate
	chain *x509.CertPool // what came with it
	send  func(*http.Request) (*http.Response, error)
	close func()
}

const patience = 30 * time.Second

// connect makes a connection by one of the protocols for a server name, which
// may be empty. It does not check the certificate's name: tests do.
func connect(t testing.TB, port int, protocol, serverName string) *connection {
	t.Helper()
	c, err := tryConnect(t, port, protocol, serverName)
	if err != nil {
		t.Fatalf("connecting by %s for %q: %v", protocol, serverName, err)
	}
	return c
}

func tryConnect(t testing.TB, port int, protocol, serverName string) (*connection, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	config := &tls.Config{ServerName: serverName, NextProtos: []string{protocol}, InsecureSkipVerify: true}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	if protocol == "h3" {
		conn, err := quic.DialAddr(ctx, address, config, nil)
		if err != nil {
			return nil, err
		}
		client := new(http3.Transport).NewClientConn(conn)
		c := newConnection(t, conn.ConnectionState().TLS)
		c.send = client.RoundTrip
		c.close = func() { _ = conn.CloseWithError(0, "") }
		t.Cleanup(c.close)
		return c, nil
	}
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	state := conn.(*tls.Conn).ConnectionState()
	if state.NegotiatedProtocol != protocol {
		return nil, fmt.Errorf("the gateway chose protocol %q", state.NegotiatedProtocol)
	}
	c := newConnection(t, state)
	c.close = func() { _ = conn.Close() }
	if protocol == "h2" {
		//nolint:staticcheck // SA1019: what replaces it dials by itself, and this connection is the test's
		client, err := new(http2.Transport).NewClientConn(conn)
		if err != nil {
			return nil, err
		}
		c.send = client.RoundTrip
		return c, nil
	}
	answers := bufio.NewReader(conn)
	c.send = func(r *http.Request) (*http.Response, error) {
		_ = conn.SetDeadline(time.Now().Add(patience))
		if err := r.Write(conn); err != nil {
			return nil, err
		}
		res, err := http.ReadResponse(answers, r)
		_ = conn.SetDeadline(time.Time{}) // a body may take as long as it likes
		return res, err
	}
	return c, nil
}

func newConnection(t testing.TB, state tls.ConnectionState) *connection {
	c := &connection{t: t, cert: state.PeerCertificates[0], chain: x509.NewCertPool()}
	for _, cert := range state.PeerCertificates[1:] {
		c.chain.AddCert(cert)
	}
	return c
}

// answer is a whole answer.
type answer struct {
	status int
	header http.Header
	body   string
}

// get sends a GET for the host and path with headers, which are pairs.
func (c *connection) get(host, path string, headers ...string) answer {
	c.t.Helper()
	a, err := c.try(host, path, headers...)
	if err != nil {
		c.t.Fatalf("requesting %s%s: %v", host, path, err)
	}
	return a
}

func (c *connection) try(host, path string, headers ...string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://gateway.invalid"+path, nil)
	if err != nil {
		return answer{}, err
	}
	r.Host = host
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	res, err := c.send(r)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil && !errors.Is(err, io.EOF) {
		return answer{}, err
	}
	return answer{res.StatusCode, res.Header, string(body)}, nil
}

// same reports whether two answers cannot be told apart, apart from the time
// they were given.
func (a answer) same(b answer) bool {
	ah, bh := a.header.Clone(), b.header.Clone()
	ah.Del("Date")
	bh.Del("Date")
	return a.status == b.status && a.body == b.body && fmt.Sprint(ah) == fmt.Sprint(bh)
}

// issuedFor fails the test if the certificate is not for the host.
func (c *connection) issuedFor(host string) {
	c.t.Helper()
	if err := c.cert.VerifyHostname(host); err != nil {
		c.t.Errorf("the certificate shown: %v", err)
	}
}

// tenants waits until the gateway serves the host over h1, as after a change
// of the catalog.
func servedAt(t testing.TB, port int, host, path string) {
	t.Helper()
	harness.Eventually(t, harness.StartTimeout, host+" to be served", func() bool {
		c, err := tryConnect(t, port, "http/1.1", host)
		if err != nil {
			return false
		}
		a, err := c.try(host, path)
		return err == nil && a.status == http.StatusOK
	})
}

// write puts a file in place in one step.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// listenBackend serves on a loopback port until the test ends.
func listenBackend(t testing.TB, h http.Handler) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: patience}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

// port is a port as text.
func port(n int) string { return strconv.Itoa(n) }

// lines joins the lines of a Caddyfile.
func lines(all ...string) string { return strings.Join(all, "\n") + "\n" }
