package http

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/jsonrows"
)

// maxSize is the largest feed that is read, in bytes after decompression.
const maxSize = 256 << 20

func newSource(address string, header http.Header, longPoll time.Duration) (*source, error) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, errors.New(`reading http source: expected a URL as in "https://host/tenants.json"`)
	}
	s := &source{url: u, header: header, longPoll: longPoll, most: maxSize}
	s.client.Transport = http.DefaultTransport.(*http.Transport).Clone()
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.poll = newPoller(s.fetch, longPoll)
	return s, nil
}

type source struct {
	url      *url.URL
	header   http.Header
	longPoll time.Duration
	most     int64 // bytes
	client   http.Client
	poll     *poller

	// What the last answers left, all zero before the first and after a failure.
	asked   question // what the next request refers to
	known   bool     // Load has returned what was answered
	sum     [sha256.Size]byte
	empty   bool              // the answer said that an empty list is meant
	records []registry.Record // all, if there is a cursor to ask for changes with

	version uint64        // the highest one ever met
	waited  time.Duration // of the last Load, for the server
}

// String implements [registry.Source]. The query and the user of the URL are left
// out, since they may be secrets.
func (s *source) String() string {
	return "http " + s.url.Scheme + "://" + s.url.Host + s.url.EscapedPath()
}

// EmptyIsMeant implements [registry.EmptyMeant].
func (s *source) EmptyIsMeant() bool { return s.empty }

// Waited implements [registry.Waiting].
func (s *source) Waited() time.Duration { return s.waited }

// Forget implements [registry.Forgetful].
func (s *source) Forget() { s.asked, s.known, s.empty, s.records = question{}, false, false, nil }

// Close implements [registry.Source].
func (s *source) Close() error {
	s.poll.close()
	s.client.CloseIdleConnections()
	return nil
}

// Load implements [registry.Source].
func (s *source) Load(ctx context.Context) ([]registry.Record, error) {
	s.waited = 0
	err := errCursor
	var records []registry.Record
	if s.known {
		records, err = s.read(s.ask(ctx, s.asked)) //nolint:contextcheck // the next poll outlives this one: Close ends it
	}
	if errors.Is(err, errCursor) {
		s.Forget()
		records, err = s.read(s.get(ctx, question{})) //nolint:contextcheck // as above
	}
	if err != nil && !errors.Is(err, registry.ErrUnchanged) {
		s.Forget() // everything is asked for again
		err = fmt.Errorf("reading tenants from %s: %w", s, err)
	}
	return records, err
}

// errCursor is for changes that the server cannot tell, or that do not add up: only
// the whole feed can.
var errCursor = errors.New("expected the whole feed, found a delta")

// ask takes what the long poll brought, if there is one, and else asks the server.
func (s *source) ask(ctx context.Context, q question) (*answer, error) {
	if s.longPoll > 0 {
		return s.poll.take() //nolint:contextcheck // the next poll outlives this one: Close ends it
	}
	return s.get(ctx, q)
}

// get asks the server, and counts how long that takes.
func (s *source) get(ctx context.Context, q question) (*answer, error) {
	defer func(start time.Time) { s.waited += time.Since(start) }(time.Now())
	return s.fetch(ctx, q, 0)
}

// read reads an answer and makes it the one that the next request refers to.
func (s *source) read(a *answer, err error) (records []registry.Record, _ error) {
	if err != nil {
		return nil, err
	}
	if s.known && a.sum == s.sum {
		s.asked.etag, err = a.etag, registry.ErrUnchanged
	} else if records, err = s.take(a); err != nil {
		return nil, err
	}
	if s.longPoll > 0 {
		s.poll.begin(s.asked)
	}
	return records, err
}

func (s *source) take(a *answer) ([]registry.Record, error) {
	doc, err := jsonrows.JSON(a.data)
	if err != nil {
		return nil, err
	}
	if doc.Version != nil && *doc.Version < s.version {
		return nil, fmt.Errorf("expected version %d or later, found %d", s.version, *doc.Version)
	}
	if doc.Delta {
		if s.asked.cursor == "" {
			return nil, errCursor
		}
		doc.Records = registry.Merge(s.records, doc.Records, doc.Removed)
		if doc.Total != nil && *doc.Total != uint64(len(doc.Records)) {
			return nil, errCursor // a change went by unseen
		}
	}
	if doc.Version != nil {
		s.version = *doc.Version
	}
	s.asked, s.known, s.sum, s.empty, s.records = question{a.etag, doc.Cursor}, true, a.sum, doc.Empty, nil
	if doc.Cursor != "" {
		s.records = doc.Records
	}
	return doc.Records, nil
}

// listener is a source that asks the server to wait.
type listener struct{ *source }

// Changed implements [registry.Notifier].
func (l listener) Changed() <-chan struct{} { return l.poll.changed }

// Interface guards.
var (
	_ registry.Forgetful  = (*source)(nil)
	_ registry.EmptyMeant = (*source)(nil)
	_ registry.Waiting    = (*source)(nil)
	_ registry.Notifier   = listener{}
)
