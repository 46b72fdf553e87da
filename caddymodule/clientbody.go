package caddymodule

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// problemBody answers a request whose body broke off or was malformed, and
// problemStalled one whose body did not come in time (RFC 9110, section 15.5.9).
var (
	problemBody    = newProblem(http.StatusBadRequest, "about:blank", "Bad Request", "The request body is malformed or incomplete.", 0)
	problemStalled = newProblem(http.StatusRequestTimeout, "about:blank", "Request Timeout", "The request body did not come in time.", 0)
)

// clientBody notes when reading the client's body fails. A proxy sees such a
// failure as one of the backend and would answer 502: one client could make the
// backend look ill, to whoever counts server errors. It reads no more of a body
// once the tenant is not served any more.
type clientBody struct {
	io.ReadCloser
	state *state
	// broken and stalled are set by the goroutine that sends the body and read by
	// the one that answers.
	broken, stalled atomic.Bool
}

// watchBody puts a clientBody around the request's body, if it has one.
func watchBody(r *http.Request, s *state) *clientBody {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	b := &clientBody{ReadCloser: r.Body, state: s}
	r.Body = b
	return b
}

// Read implements io.Reader.
func (b *clientBody) Read(p []byte) (int, error) {
	if b.state.tenantEnded() {
		b.note(errTenantEnded)
		return 0, errTenantEnded
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.note(err)
	}
	return n, err
}

// Close implements io.Closer. net/http reads on before it closes a body, which
// the client could draw out; it does so itself when the request is over.
func (b *clientBody) Close() error {
	if b.state.tenantEnded() {
		return nil
	}
	return b.ReadCloser.Close()
}

// note keeps an error that is the client's. That of reading a closed body is
// not: the proxy closes it when the backend fails.
func (b *clientBody) note(err error) {
	if !errors.Is(err, io.EOF) && !errors.Is(err, http.ErrBodyReadAfterClose) {
		b.stalled.Store(errors.Is(err, os.ErrDeadlineExceeded))
		b.broken.Store(true)
	}
}

// answer says what is wrong with the body.
func (b *clientBody) answer(w http.ResponseWriter, r *http.Request) error {
	problem := problemBody
	switch {
	case b.state.tenantEnded():
		problem = problemNoTenant
	case b.stalled.Load():
		problem = problemStalled
	}
	if r.ProtoMajor == 1 {
		// Or the server reads on before it answers, which the client could draw out.
		w.Header()["Connection"] = connectionClose
	}
	return problem.answer(w, r)
}

var connectionClose = []string{"close"}

// isFault reports whether the error that a proxy answers with 502, or 504 when
// it is a timeout, comes from the client's body.
func (b *clientBody) isFault(err error) bool {
	var herr caddyhttp.HandlerError
	return b != nil && b.broken.Load() && errors.As(err, &herr) &&
		(herr.StatusCode == http.StatusBadGateway || herr.StatusCode == http.StatusGatewayTimeout)
}
