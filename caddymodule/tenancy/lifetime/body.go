package lifetime

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/problem"
)

// fault is why reading the client's body failed: written by the goroutine that sends
// the body on and read by the one that answers.
type fault = atomic.Pointer[error]

// clientBody notes when reading the client's body fails, and makes it look as if
// the client had left. A proxy takes such a failure for one of the backend: it
// would answer 502, count it against the backend, and where backends are taken
// out when they fail, one client could have the others' requests refused. It
// reads no more of a body once the tenant is not served any more.
type clientBody struct {
	io.ReadCloser
	exchange *Exchange
}

// WatchBody looks after the request's body, if it has one. It is called again when
// directives in between may have put something around the body, such as a limit on
// its size.
func (x *Exchange) WatchBody(r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return
	}
	if _, watched := r.Body.(*clientBody); !watched {
		r.Body = &clientBody{r.Body, x}
	}
}

// Read implements io.Reader.
func (b *clientBody) Read(p []byte) (int, error) {
	if b.exchange.tenantEnded() {
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
	if b.exchange.tenantEnded() {
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
	b.exchange.fault.Store(&err)
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
func (x *Exchange) bodyProblem(r *http.Request, err error) error {
	fault := x.fault.Load()
	if fault == nil || x.status != 0 {
		return err
	}
	var failed, limit caddyhttp.HandlerError
	if !x.gone && (!errors.As(err, &failed) || failed.StatusCode != http.StatusBadGateway && failed.StatusCode != http.StatusGatewayTimeout) {
		return err
	}
	if r.ProtoMajor == 1 {
		// Or the server reads on before it answers, which the client could draw out.
		x.Header()["Connection"] = []string{"close"}
	}
	switch {
	case errors.As(*fault, &limit):
		return limit // a directive's own words, as for a body that is too large
	case errors.Is(*fault, errTenantEnded):
		return problem.NoTenant.Answer(x, r)
	case errors.Is(*fault, os.ErrDeadlineExceeded):
		return problem.Stalled.Answer(x, r)
	}
	return problem.Body.Answer(x, r)
}
