package caddymodule

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// problemBody answers a request whose body broke off or was malformed.
var problemBody = newProblem(http.StatusBadRequest, "about:blank", "Bad Request", "The request body is malformed or incomplete.", 0)

// clientBody notes when reading the client's body fails, and makes it look as if
// the client had left. A proxy takes such a failure for one of the backend: it
// would answer 502, count it against the backend, and where backends are taken
// out when they fail, one client could have the others' requests refused.
type clientBody struct {
	io.ReadCloser
	// fault is written by the goroutine that sends the body and read by the one
	// that answers.
	fault *atomic.Pointer[error]
}

// watchBody puts a clientBody around the request's body, if it has one, and
// returns what it finds; nil if there is nothing to find.
func watchBody(r *http.Request) *atomic.Pointer[error] {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	fault := new(atomic.Pointer[error])
	r.Body = &clientBody{r.Body, fault}
	return fault
}

// watchAgain does the same around what directives in between have put around
// the body, such as a limit on its size.
func watchAgain(r *http.Request, fault *atomic.Pointer[error]) {
	if _, direct := r.Body.(*clientBody); fault != nil && r.Body != nil && !direct {
		r.Body = &clientBody{r.Body, fault}
	}
}

// Read implements io.Reader.
func (b *clientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		err = b.note(err)
	}
	return n, err
}

// note keeps an error that is the client's. That of reading a closed body is
// not: the proxy closes it when the backend fails.
func (b *clientBody) note(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, http.ErrBodyReadAfterClose) {
		return err
	}
	b.fault.Store(&err)
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
	if w.fault == nil || w.fault.Load() == nil || w.status != 0 {
		return err
	}
	var failed, limit caddyhttp.HandlerError
	if !w.gone && (!errors.As(err, &failed) || failed.StatusCode != http.StatusBadGateway) {
		return err
	}
	if errors.As(*w.fault.Load(), &limit) {
		return limit // a directive's own words, as for a body that is too large
	}
	return problemBody.answer(w, r)
}
