package http

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

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

// question is what a request refers to.
type question struct{ etag, cursor string }

// answer is what a request brought.
type answer struct {
	etag string
	data []byte
	sum  [sha256.Size]byte
}

// fetch makes one request. It returns [registry.ErrUnchanged] for a 304, and
// errCursor if the server does not know the cursor any more.
func (s *source) fetch(ctx context.Context, q question, wait time.Duration) (*answer, error) {
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
	for name, values := range s.header {
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
		return nil, registry.ErrUnchanged
	case resp.StatusCode == http.StatusGone && q.cursor != "":
		return nil, errCursor
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("expected status 200, found %d", resp.StatusCode)
	}
	kind := resp.Header.Get("Content-Type")
	if media, _, err := mime.ParseMediaType(kind); err != nil || media != "application/json" && !strings.HasSuffix(media, "+json") {
		return nil, fmt.Errorf("expected a content type of JSON, found %.80q", kind)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, s.most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > s.most {
		return nil, fmt.Errorf("expected at most %d bytes, found more", s.most)
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
