package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// MaxFeedSize is the largest feed that is read, in bytes after decompression, if
// [HTTPOptions] do not say otherwise.
const MaxFeedSize = 256 << 20

// HTTPOptions are what an HTTP source needs beside its URL. The zero value will
// do.
type HTTPOptions struct {
	// Header is sent with every request, as for a credential.
	Header http.Header
	// Client makes the requests. Redirects are never followed, since they could
	// take the credential elsewhere.
	Client *http.Client
	// MaxBytes replaces [MaxFeedSize].
	MaxBytes int64
	// LongPoll, if not zero, is how long the server is asked to wait for a change
	// before it answers that there is none.
	LongPoll time.Duration
}

// NewHTTP returns a source that reads a feed from a URL. Any backend can offer
// one:
//
//	{"tenants": [{"slug": "acme-pets", "plan": "free", "hosts": ["pets.acme.example"]}]}
//
// with the fields of [NewSQLite]'s query, as application/json. Everything else is
// optional:
//
//   - An ETag is sent back as If-None-Match, so that the answer may be 304.
//   - With long polling the request has "Prefer: wait=SECONDS" (RFC 7240, section
//     4.3), and the server may answer only when something has changed.
//   - "version": a number that grows with every change. A feed with a smaller one
//     than before is refused, as from a replica that lags.
//   - "cursor": a text that is sent back as the query parameter "cursor". The answer
//     may then be {"delta": true, "tenants": [new or different], "removed":
//     [slugs], "cursor": ..., "total": number of all tenants}. A server that does
//     not know the cursor answers with the whole feed, without "delta".
//
// The header must not change afterwards.
func NewHTTP(address string, opts HTTPOptions) (Source, error) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, errors.New(`reading http source: expected a URL as in "https://host/tenants.json"`)
	}
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = MaxFeedSize
	}
	client := http.Client{}
	if opts.Client != nil {
		client = *opts.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	// The name has no query and no user, which may be secrets.
	s := &feed{url: u, client: &client, opts: opts, name: "http " + u.Scheme + "://" + u.Host + u.EscapedPath(), version: -1}
	s.text.keys = feedKeys
	s.poll = newPoller(s)
	return s, nil
}

// fetch makes one request.
func (s *feed) fetch(ctx context.Context, q question, wait time.Duration) (*answer, error) {
	u := *s.url
	if q.cursor != "" {
		query := u.Query()
		query.Set("cursor", q.cursor)
		u.RawQuery = query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, withoutURL(err)
	}
	for name, values := range s.opts.Header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	r.Header.Set("Accept", "application/json")
	if q.etag != "" {
		r.Header.Set("If-None-Match", q.etag)
	}
	if wait > 0 {
		r.Header.Set("Prefer", "wait="+strconv.Itoa(int(wait.Seconds())))
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && q.etag != "":
		return nil, ErrUnchanged
	case resp.StatusCode == http.StatusGone && q.cursor != "":
		return s.fetch(ctx, question{}, 0)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("expected status 200, found %d", resp.StatusCode)
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return nil, fmt.Errorf("expected a content type of JSON, found %q", clip(resp.Header.Get("Content-Type")))
	}
	return s.receive(resp)
}

// receive takes the body in, as far as it may go.
func (s *feed) receive(resp *http.Response) (*answer, error) {
	data, err := io.ReadAll(io.LimitReader(resp.Body, s.opts.MaxBytes+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > s.opts.MaxBytes {
		return nil, fmt.Errorf("expected at most %d bytes, found more", s.opts.MaxBytes)
	}
	return &answer{etag: resp.Header.Get("ETag"), data: data, sum: sha256.Sum256(data)}, nil
}

// withoutURL drops the URL from the client's errors: its query may be a secret.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
