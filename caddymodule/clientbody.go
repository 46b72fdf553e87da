package caddymodule

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// problemBody answers a request whose body broke off or was malformed, and
// problemStalled one whose body did not come in time (RFC 9110, section 15.5.9).
var (
	problemBody    = newProblem(http.StatusBadRequest, "about:blank", "Bad Request", "The request body is malformed or incomplete.", 0)
	problemStalled = newProblem(http.StatusRequestTimeout, "about:blank", "Request Timeout", "The request body did not come in time.", 0)
)

// clientBody notes when reading the client's body fails, and makes it look as if
// the client had left. A proxy takes such a failure for one of the backend: it
// would answer 502, count it against the backend, and where backends are taken
// out when they fail, one client could have the others' requests refused. It
// reads no more of a body once the tenant is not served any more.
type clientBody struct {
	io.ReadCloser
	state *state
}

// watchBody puts a clientBody around the request's body, if it has one.
func watchBody(r *http.Request, s *state) {
	if r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0 {
		r.Body = &clientBody{r.Body, s}
	}
}

// watchAgain does the same around what directives in between have put around
// the body, such as a limit on its size.
func watchAgain(r *http.Request, s *state) {
	if _, direct := r.Body.(*clientBody); !direct {
		watchBody(r, s)
	}
}

// Read implements io.Reader.
func (b *clientBody) Read(p []byte) (int, error) {
	if b.state.tenantEnded() {
		return 0, b.note(errTenantEnded)
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		err = b.note(err)
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
func (b *clientBody) note(err error) error {
	var noted brokenBody
	if errors.Is(err, io.EOF) || errors.Is(err, http.ErrBodyReadAfterClose) || errors.As(err, &noted) {
		return err
	}
	b.state.fault.Store(&err)
	return brokenBody{err}
}

// brokenBody is an error of the client's body. It passes for the end of the
// client's request, for which reverse_proxy blames no upstream and tries no
// other.
type brokenBody struct{ error }

// Is implements what errors.Is asks for.
func (brokenBody) Is(target error) bool { return target == context.Canceled }

// Unwrap returns the error itself.
func (b brokenBody) Unwrap() error { return b.error }

// statusClientGone is what reverse_proxy notes for a client that left. There is
// nobody to read it then; a client whose body is broken may well be there.
const statusClientGone = 499

// bodyProblem answers for a fault of the body, or returns err if there was none
// or it is not why the request failed.
func (w *statusRecorder) bodyProblem(r *http.Request, err error) error {
	fault := w.state.fault.Load()
	if fault == nil || w.status != 0 {
		return err
	}
	var failed, limit caddyhttp.HandlerError
	if !w.gone && (!errors.As(err, &failed) || failed.StatusCode != http.StatusBadGateway && failed.StatusCode != http.StatusGatewayTimeout) {
		return err
	}
	if r.ProtoMajor == 1 {
		// Or the server reads on before it answers, which the client could draw out.
		w.Header()["Connection"] = connectionClose
	}
	switch {
	case errors.As(*fault, &limit):
		return limit // a directive's own words, as for a body that is too large
	case errors.Is(*fault, errTenantEnded):
		return problemNoTenant.answer(w, r)
	case errors.Is(*fault, os.ErrDeadlineExceeded):
		return problemStalled.answer(w, r)
	}
	return problemBody.answer(w, r)
}

var connectionClose = []string{"close"}
