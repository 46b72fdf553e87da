package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"time"
)

// maxKeyText is the longest text of a key set in bytes, after decompression.
const maxKeyText = 1 << 20

// HTTPOptions shape an HTTP fetcher.
type HTTPOptions struct {
	// Client does the request; nil means one of the package's own. Redirects
	// are not followed either way: keys come from where they are said to be.
	Client *http.Client
	// AllowPlain lets "http" URLs of other machines in. Whoever can answer
	// such a request can make tokens.
	AllowPlain bool
}

type httpFetcher struct {
	url    string
	client *http.Client
}

// HTTPFetcher fetches a JWK set from a URL, which is "https", or "http" on a
// loopback address.
func HTTPFetcher(address string, o HTTPOptions) (Fetcher, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("reading JWKS address %q: expected https://HOST/PATH", address)
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && (o.AllowPlain || isLoopback(u.Hostname())):
	case u.Scheme == "http":
		return nil, fmt.Errorf("reading JWKS address %q: plain http to another machine lets anybody between make tokens; expected https", address)
	default:
		return nil, fmt.Errorf("reading JWKS address %q: expected https", address)
	}
	client := &http.Client{Transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConns:           1,
		IdleConnTimeout:        30 * time.Second,
	}}
	if o.Client != nil {
		c := *o.Client
		client = &c
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &httpFetcher{address, client}, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && addr.IsLoopback())
}

// Fetch gets the set. Anything but 200 is an error.
func (f *httpFetcher) Fetch(ctx context.Context) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("fetching keys from %q: %w", f.url, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return fail(err)
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := f.client.Do(req)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fail(fmt.Errorf("expected status 200, got %d", resp.StatusCode))
	}
	text, err := readAll(resp.Body)
	if err != nil {
		return fail(err)
	}
	return text, nil
}

// Parse reads public keys only.
func (f *httpFetcher) Parse(text []byte) (*KeySet, []error, error) {
	return ParseJWKS(text, JWKSOptions{})
}

type fileFetcher string

// FileFetcher reads a file that holds a JWK set or PEM blocks. The set may
// hold secrets.
func FileFetcher(path string) Fetcher { return fileFetcher(path) }

func (f fileFetcher) Fetch(context.Context) ([]byte, error) {
	// Before opening: a pipe would block until somebody writes to it.
	if info, err := os.Stat(string(f)); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading keys %q: expected a regular file", string(f))
	}
	file, err := os.Open(string(f))
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	defer file.Close()
	text, err := readAll(file)
	if err != nil {
		return nil, fmt.Errorf("reading keys %q: %w", string(f), err)
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

// ParseKeys reads a JWK set, secrets allowed, or PEM blocks, whichever the
// text begins like.
func ParseKeys(text []byte) (*KeySet, []error, error) {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return ParseJWKS(text, JWKSOptions{Secrets: true})
	}
	set, err := ParsePEM(text)
	return set, nil, err
}

func readAll(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxKeyText+1))
	if err == nil && len(text) > maxKeyText {
		err = errors.New("longer than a key set has reason to be")
	}
	return text, err
}

var (
	_ Fetcher = (*httpFetcher)(nil)
	_ Fetcher = fileFetcher("")
)
