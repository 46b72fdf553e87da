package harness

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
	"time"
)

// Request is a request of a client of the gateway.
type Request struct {
	Method string      // GET unless set
	Host   string      // also the TLS server name
	Path   string      // with the query
	Header http.Header // may be nil
	Body   string      // sent as JSON unless Header says otherwise
}

// Response is a whole answer.
type Response struct {
	Status int
	Header http.Header
	Body   string
}

// Host is the host of a tenant's subdomain.
func Host(slug string) string { return slug + "." + Domain }

// requestTimeout ends what hangs, so that the test says so and not its
// deadline.
const requestTimeout = 30 * time.Second

// Try sends the request. Any host is dialled at the gateway's own port, and
// only the gateway's own authority is trusted.
func (s *Stack) Try(r Request) (*Response, error) {
	client, err := s.httpClient()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.Method, "https://"+net.JoinHostPort(r.Host, strconv.Itoa(s.HTTPS))+r.Path, strings.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	for name, values := range r.Header {
		req.Header[name] = values
	}
	if r.Body != "" && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	return whole(res)
}

// Do is Try for a request that must be answered.
func (s *Stack) Do(r Request) *Response {
	s.t.Helper()
	res, err := s.Try(r)
	if err != nil {
		s.t.Fatalf("requesting %s%s: %v", r.Host, r.Path, err)
	}
	return res
}

// Get asks for a tenant's path by its subdomain.
func (s *Stack) Get(slug, path string) *Response {
	s.t.Helper()
	return s.Do(Request{Host: Host(slug), Path: path})
}

// Raw sends bytes over TLS, for what a proper client would not send, and
// returns the first answer.
func (s *Stack) Raw(serverName, text string) *Response {
	s.t.Helper()
	if _, err := s.httpClient(); err != nil {
		s.t.Fatalf("sending raw bytes: %v", err)
	}
	conn, err := tls.Dial("tcp", s.address(), &tls.Config{RootCAs: s.roots, ServerName: serverName, NextProtos: []string{"http/1.1"}})
	if err != nil {
		s.t.Fatalf("sending raw bytes: %v", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(requestTimeout))
	if _, err := io.WriteString(conn, text); err != nil {
		s.t.Fatalf("sending raw bytes: %v", err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatalf("reading the answer to raw bytes: %v", err)
	}
	all, err := whole(res)
	if err != nil {
		s.t.Fatalf("reading the answer to raw bytes: %v", err)
	}
	return all
}

// Plain sends a request to a loopback port without TLS: the admin interfaces
// and the metrics. The headers are pairs of name and value; Host is one too.
func (s *Stack) Plain(method string, port int, path, body string, headers ...string) *Response {
	s.t.Helper()
	req, err := http.NewRequest(method, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), strings.NewReader(body))
	if err != nil {
		s.t.Fatalf("requesting %s: %v", path, err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	res, err := (&http.Client{Timeout: requestTimeout}).Do(req)
	if err != nil {
		s.t.Fatalf("requesting %s: %v", path, err)
	}
	all, err := whole(res)
	if err != nil {
		s.t.Fatalf("requesting %s: %v", path, err)
	}
	return all
}

// Control sends a request to the pet store's admin interface, with its
// credential.
func (s *Stack) Control(method, path, body string) *Response {
	s.t.Helper()
	token := strings.TrimSpace(s.Read("data/admin.token"))
	return s.Plain(method, s.Backend, path, body, "Authorization", "Bearer "+token, "Content-Type", "application/json")
}

func (s *Stack) address() string { return fmt.Sprintf("127.0.0.1:%d", s.HTTPS) }

// httpClient makes the client when the gateway has made its authority.
func (s *Stack) httpClient() (*http.Client, error) {
	if s.client != nil {
		return s.client, nil
	}
	pem, err := os.ReadFile(s.Path("data/caddy/pki/authorities/local/root.crt"))
	if err != nil {
		return nil, err
	}
	s.roots = x509.NewCertPool()
	if !s.roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("the authority's certificate is not whole yet")
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.address())
		},
		TLSClientConfig:   &tls.Config{RootCAs: s.roots},
		ForceAttemptHTTP2: true,
	}
	s.t.Cleanup(transport.CloseIdleConnections)
	s.client = &http.Client{
		Transport: transport,
		// An answer is looked at, not followed.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s.client, nil
}

func whole(res *http.Response) (*Response, error) {
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	return &Response{Status: res.StatusCode, Header: res.Header, Body: string(body)}, nil
}
