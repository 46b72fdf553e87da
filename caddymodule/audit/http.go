package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	// deliveryTimeout bounds a delivery, from dialling to the end of the answer.
	deliveryTimeout = 5 * time.Second
	// maxAnswer is how much of an answer is read, so that its connection can be
	// used again.
	maxAnswer = 64 << 10
)

// HTTP is a [Sink] that posts records to a receiver.
type HTTP struct {
	url    string
	name   string // the URL without user, path and query, which may be secrets
	client *http.Client
	sign   Signer

	// These bound a delivery's body, which may be larger by one record of at most
	// 32 KiB: 256 records, 256 KiB.
	maxRecords, maxBytes int
	every                time.Duration // 200 ms: a receiver that keeps up makes five transactions a second
}

// NewHTTP returns a sink that posts records to a URL of http or https:
//
//	{"records":[{"id":"…","time":"…","type":"…", … ,"count":1}]}
//
// with the members of [Record.AppendJSON] behind each record's id, as
// application/json in ASCII. Any answer of 2xx means that the receiver has all
// of them; after anything else, or none, they are posted again. A receiver may
// have committed what it could not answer for: it must know records by their
// id. Redirects are not followed, and nothing of an answer but its status is
// looked at.
//
// NewHTTP dials nothing. It errs when the URL cannot work, without quoting it.
func NewHTTP(address string) (*HTTP, error) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.Fragment != "" {
		return nil, errors.New(`reading audit receiver: expected a URL as in "http://host/audit"`)
	}
	// Connections of its own: closing them disturbs nobody.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 1
	return &HTTP{
		url: address, name: u.Scheme + "://" + u.Host,
		client: &http.Client{
			Transport:     transport,
			Timeout:       deliveryTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		maxRecords: 256, maxBytes: 256 << 10, every: 200 * time.Millisecond,
	}, nil
}

// SignWith implements [SignedSink]. Nothing is posted without a signer.
func (s *HTTP) SignWith(sign Signer) { s.sign = sign }

// BatchEvery implements [BatchingSink].
func (s *HTTP) BatchEvery() time.Duration { return s.every }

// Write posts the records in as many bodies as they need, one after the other.
func (s *HTTP) Write(records []Record) (taken int, err error) {
	for taken < len(records) {
		body, n := s.body(records[taken:])
		if err := s.post(body); err != nil {
			return taken, fmt.Errorf("delivering %d audit records to %q: %w", n, s.name, err)
		}
		taken += n
	}
	return taken, nil
}

// body encodes the first records, as many as one body may hold, and returns
// their number. Each body has memory of its own: the client may still read one
// when its answer has come.
func (s *HTTP) body(records []Record) ([]byte, int) {
	dst := []byte(`{"records":[`)
	n := 0
	for n < len(records) && n < s.maxRecords && (n == 0 || len(dst) < s.maxBytes) {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = appendASCII(append(dst, `{"id":`...), records[n].ID)
		dst = records[n].appendMembers(append(dst, ','))
		dst = append(dst, '}')
		n++
	}
	return append(dst, `]}`...), n
}

func (s *HTTP) post(body []byte) error {
	if s.sign == nil {
		return errors.New("signing: no signer")
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return withoutURL(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "caddy-tenancy")
	if err := s.sign(req.Header, body, time.Now()); err != nil {
		return err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer resp.Body.Close()
	// The status says it all; an answer that breaks off behind it changes nothing.
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("expected status 2xx, found %d", resp.StatusCode)
	}
	return nil
}

// withoutURL drops the URL from the client's errors: it may hold a secret.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// Close lets go of the connections.
func (s *HTTP) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

var (
	_ SignedSink   = (*HTTP)(nil)
	_ BatchingSink = (*HTTP)(nil)
)
