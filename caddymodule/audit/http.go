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

// HTTPOptions shape an HTTP sink. Zero values mean the defaults given.
type HTTPOptions struct {
	// URL is where records are posted: http or https. Required.
	URL string
	// Sign adds to the header what shows the receiver that this body comes from
	// this gateway. It is asked anew for each try. Required.
	Sign func(header http.Header, body []byte, now time.Time) error
	// MaxRecords and MaxBytes bound a body: 256 records and 256 KiB. A body may
	// be larger by one record, which has at most 32 KiB with the recorder's
	// default length of values.
	MaxRecords, MaxBytes int
	// Timeout bounds one body's way, from dialling to the end of the answer:
	// 5 seconds.
	Timeout time.Duration
	// Pause is the time between two rounds: 200 milliseconds. So a receiver has
	// at most five transactions a second to make while it keeps up.
	Pause time.Duration
	// Now is the clock that Sign is given: time.Now.
	Now func() time.Time
}

// httpSink posts records to a receiver.
type httpSink struct {
	opts   HTTPOptions
	name   string // the URL without user, path and query, which may be secrets
	client *http.Client
}

// NewHTTP returns a sink that posts records to a URL:
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
func NewHTTP(opts HTTPOptions) (Sink, error) {
	u, err := parseURL(opts.URL)
	if err != nil {
		return nil, fmt.Errorf("opening audit receiver: %w", err)
	}
	if opts.Sign == nil {
		return nil, errors.New("opening audit receiver: no signature")
	}
	if opts.MaxRecords <= 0 {
		opts.MaxRecords = 256
	}
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = 256 << 10
	}
	if opts.Timeout <= 0 {
		opts.Timeout = 5 * time.Second
	}
	if opts.Pause <= 0 {
		opts.Pause = 200 * time.Millisecond
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	// Connections of its own: closing them disturbs nobody.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 1
	return &httpSink{
		opts: opts, name: u.Scheme + "://" + u.Host,
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// CheckURL says whether [NewHTTP] could post to the URL. The error does not
// quote it.
func CheckURL(s string) error {
	if _, err := parseURL(s); err != nil {
		return fmt.Errorf("reading audit receiver: %w", err)
	}
	return nil
}

func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.Fragment != "" {
		return nil, errors.New(`expected a URL as in "http://host/audit"`)
	}
	return u, nil
}

// Pace implements [Paced].
func (s *httpSink) Pace() time.Duration { return s.opts.Pause }

// Write posts the records in as many bodies as they need, one after the other.
func (s *httpSink) Write(records []Record) (taken int, err error) {
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
func (s *httpSink) body(records []Record) ([]byte, int) {
	dst := []byte(`{"records":[`)
	n := 0
	for n < len(records) && n < s.opts.MaxRecords && (n == 0 || len(dst) < s.opts.MaxBytes) {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"id":`...)
		dst = appendString(dst, records[n].ID)
		dst = append(dst, ',')
		dst = records[n].appendMembers(dst)
		dst = append(dst, '}')
		n++
	}
	return append(dst, `]}`...), n
}

// maxAnswer is how much of an answer is read, so that its connection can be
// used again.
const maxAnswer = 64 << 10

func (s *httpSink) post(body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.opts.URL, bytes.NewReader(body))
	if err != nil {
		return withoutURL(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "caddy-tenancy")
	if err := s.opts.Sign(req.Header, body, s.opts.Now()); err != nil {
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
func (s *httpSink) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

var _ Paced = (*httpSink)(nil)
