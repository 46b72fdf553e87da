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

// fault is why reading the client's body failed, or why the stream was ended: written
// by the goroutine that sends the body on, or that which learns of a change, and read by
// the one that answers.
type fault = atomic.Pointer[error]

// clientBody notes when reading the client's body fails, and makes it look as if
// the client had left. A proxy takes such a failure for one of the backend: it
// would answer 502, count it against the backend, and where backends are taken
// out when they fail, one client could have the others' requests refused. It
// reads no more of a body once the tenant is not served any more.
type clientBody struct {
	io.ReadCloser
	exchange *Exchange

	length int64 // what the client said it would send; negative if it did not say
	read   int64 // what it has sent
	// closed says that who reads the body has given up: what reading it brings then is
	// no fault of the client's. Read and Close may be called at the same time.
	closed atomic.Bool
}

// errLength is a body that is not as long as the client said. HTTP/3 lets it pass, and
// a transport would report a failure of its own.
var errLength = errors.New("the body is not as long as its Content-Length says")

// WatchBody looks after the request's body, if it has one. It is called again when
// directives in between may have put something around the body, such as a limit on
// its size.
func (x *Exchange) WatchBody(r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return
	}
	if _, watched := r.Body.(*clientBody); !watched {
		r.Body = &clientBody{ReadCloser: r.Body, exchange: x, length: r.ContentLength}
	}
}

// Read implements io.Reader.
func (b *clientBody) Read(p []byte) (int, error) {
	if err := b.exchange.over(); err != nil {
		return 0, b.note(err)
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	if over := b.length >= 0 && b.read > b.length; over || b.read < b.length && errors.Is(err, io.EOF) {
		err = errLength
	}
	if err != nil {
		err = b.note(err)
	}
	return n, err
}

// Close implements io.Closer. net/http reads on before it closes a body, which
// the client could draw out; it does so itself when the request is over.
func (b *clientBody) Close() error {
	b.closed.Store(true)
	if b.exchange.over() == nil {
		return b.ReadCloser.Close()
	}
	return nil
}

// note keeps the first error that is the client's. That of reading a closed body is
// not: the proxy closes it when the backend fails, and each protocol's server has an
// error of its own for that.
func (b *clientBody) note(err error) error {
	var noted brokenBody
	if errors.Is(err, io.EOF) || b.closed.Load() || errors.As(err, &noted) {
		return err
	}
	b.exchange.fault.CompareAndSwap(nil, &err)
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
	case errors.Is(*fault, errTenantEnded), errors.Is(*fault, errSourceEnded):
		return problem.NoTenant.Answer(x, r)
	case errors.Is(*fault, errCredentialEnded):
		return problem.Token.Answer(x, r)
	case errors.Is(*fault, os.ErrDeadlineExceeded):
		return problem.Stalled.Answer(x, r)
	}
	return problem.Body.Answer(x, r)
}
