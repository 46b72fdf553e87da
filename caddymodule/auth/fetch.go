package auth

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// Fetcher reads the text of a key set: from a URL, see [HTTPFetcher], or a
// file, see [FileFetcher]. It returns when ctx ends.
type Fetcher interface {
	Fetch(ctx context.Context) (text []byte, err error)
	// Parse reads the text; skipped names keys that were left out.
	Parse(text []byte) (set *KeySet, skipped []error, err error)
}

// maxKeyText is the longest text of a key set in bytes, after decompression.
const maxKeyText = 1 << 20

// HTTPOptions bound where an HTTP fetcher goes. The zero value is for an
// address that the operator wrote; one from elsewhere, as from a tenant's
// record, needs both.
type HTTPOptions struct {
	// Allowed returns an error for a host and port that the URL may not name.
	Allowed func(address string) error
	// Control is asked about each address that the host's name leads to; see
	// [net.Dialer]. Behind a proxy it is not: where a name leads is the proxy's
	// to decide and to refuse.
	Control func(network, address string, c syscall.RawConn) error
}

type httpFetcher struct {
	url    string
	client *http.Client
}

// HTTPFetcher fetches a JWK set from a URL, which is "https", or "http" on a
// loopback address. Redirects are not followed: keys come from where they are
// said to be.
func HTTPFetcher(address string, o HTTPOptions) (Fetcher, error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("reading JWKS address %q: expected https://HOST/PATH", address)
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	ip, _ := netip.ParseAddr(host) // of the zero Addr nothing is true
	switch loopback := host == "localhost" || ip.IsLoopback(); {
	case u.Scheme == "https":
		port = cmp.Or(port, "443")
	case u.Scheme == "http" && loopback:
		port = cmp.Or(port, "80")
	case u.Scheme == "http":
		return nil, fmt.Errorf("reading JWKS address %q: plain http to another machine lets anybody between make tokens; expected https", address)
	default:
		return nil, fmt.Errorf("reading JWKS address %q: expected https", address)
	}
	if o.Allowed != nil {
		if err := o.Allowed(net.JoinHostPort(host, port)); err != nil {
			return nil, fmt.Errorf("reading JWKS address %q: %w", address, err)
		}
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); err == nil && proxy == nil {
		dialer.Control = o.Control
	}
	return &httpFetcher{address, &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    5 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConns:           1,
			IdleConnTimeout:        30 * time.Second,
		},
	}}, nil
}

// Fetch gets the set. Anything but 200 is an error.
func (f *httpFetcher) Fetch(ctx context.Context) (text []byte, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("fetching keys from %q: %w", f.url, err)
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("expected status 200, got %d", resp.StatusCode)
	}
	text, err = io.ReadAll(io.LimitReader(resp.Body, maxKeyText+1))
	if err == nil && len(text) > maxKeyText {
		err = fmt.Errorf("expected at most %d bytes", maxKeyText)
	}
	return text, err
}

// Parse reads public keys only.
func (f *httpFetcher) Parse(text []byte) (*KeySet, []error, error) {
	return ParseJWKS(text)
}

type fileFetcher string

// FileFetcher reads a file that holds a JWK set or PEM blocks. The set may
// hold secrets.
func FileFetcher(path string) Fetcher { return fileFetcher(path) }

func (f fileFetcher) Fetch(context.Context) ([]byte, error) {
	// Before opening: a pipe would block until somebody writes to it.
	if info, err := os.Stat(string(f)); err == nil && (!info.Mode().IsRegular() || info.Size() > maxKeyText) {
		return nil, fmt.Errorf("reading keys %q: expected a regular file of at most %d bytes", string(f), maxKeyText)
	}
	text, err := os.ReadFile(string(f))
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	return text, nil
}

func (f fileFetcher) Parse(text []byte) (*KeySet, []error, error) {
	set, skipped, err := ParseKeys(text)
	if err != nil {
		return nil, nil, fmt.Errorf("reading keys %q: %w", string(f), err)
	}
	return set, skipped, nil
}

var (
	_ Fetcher = (*httpFetcher)(nil)
	_ Fetcher = fileFetcher("")
)
