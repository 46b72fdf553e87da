// Package lifetime ends what a tenant's requests have under way when the tenant is
// suspended or removed, or their caller's credential is revoked: long answers,
// uploads, and the streams that would last for days.
package lifetime

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Current is the list of tenants in force.
type Current func() *registry.Snapshot

// Exchange is one request of a tenant and its answer. It is the writer of the answer
// for the handlers behind: it remembers the status, and writes no more once the
// tenant is not served any more. [Exchange.Begin] prepares it.
type Exchange struct {
	caddyhttp.ResponseWriterWrapper

	tenant  *tenant.Tenant
	current Current
	listed  time.Time // when the list that has the tenant was read
	stream  *stream   // nil unless the request asks for an answer without end
	fault   fault     // of the client's body

	// Whether the caller's credential is good, nil for nobody's, and the credentials by
	// which it was found to be.
	good        func(*registry.Credentials) bool
	credentials func() *registry.Credentials
	found       *registry.Credentials

	// OnAnswer, if not nil, has the last word on the header of a final answer.
	OnAnswer func(http.Header)

	status int
	begun  bool // something of the body is written
	broken bool // nothing more of it was
	gone   bool // a proxy took the client for gone, for a fault of its body
}

// Begin prepares the exchange for a request of that tenant, found in that list. What
// it returns must be called when the request is over.
func (x *Exchange) Begin(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, found *registry.Snapshot, all *Streams, current Current) (end func()) {
	x.ResponseWriter, x.tenant, x.listed, x.current = w, t, found.LoadedAt(), current
	ends := plainCause(r)
	if asksForStream(r) {
		var endStream func()
		x.stream, endStream = all.begin(w, r, t, current, &x.fault)
		endRequest := ends
		ends = func() { endStream(); endRequest() }
	}
	x.WatchBody(r)
	return ends
}

// plainCause makes [context.Canceled] the cause of a request that its client gave up. In
// HTTP/3 it is an error of the connection's, which a proxy would take for one of the
// backend and count against it. What it returns must be called at the end.
func plainCause(r *http.Request) (end func()) {
	if r.ProtoMajor != 3 {
		return func() {}
	}
	whole := r.Context()
	ctx, cancel := context.WithCancel(context.WithoutCancel(whole))
	stop := context.AfterFunc(whole, cancel)
	*r = *r.WithContext(ctx)
	return func() {
		stop()
		cancel()
		*r = *r.WithContext(whole) // an error route goes on with the request
	}
}

// Status is the status of the answer, 0 if there is none: the one that was sent, or
// the one that Caddy makes of the error.
func (x *Exchange) Status(err error) int {
	if err == nil {
		return x.status
	}
	var herr caddyhttp.HandlerError
	if errors.As(err, &herr) && herr.StatusCode != 0 {
		return herr.StatusCode
	}
	return http.StatusInternalServerError
}

// Finish returns how the request ended, given what the handlers behind returned. An answer
// that was broken off it breaks off for the client too, as reverse_proxy does: file_server
// takes no notice, and the answer would look whole.
func (x *Exchange) Finish(r *http.Request, err error) error {
	if x.broken {
		panic(http.ErrAbortHandler)
	}
	identity.StripAnswer(x.Header()) // what is in it now and was not sent are trailers
	err = x.bodyProblem(r, err)
	if x.status == 0 && err == nil {
		x.answer(http.StatusOK) // nothing was written: net/http sends 200
	}
	return err
}

// WriteHeader remembers the first final status; 1xx come before it. What a proxy
// notes for a client that left is not sent to one with a broken body: Finish says
// what is.
func (x *Exchange) WriteHeader(status int) {
	if status == statusClientGone && x.status == 0 && !x.gone && x.fault.Load() != nil {
		x.gone = true
		return
	}
	if x.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		x.answer(status)
	} else if x.status == 0 {
		identity.StripAnswer(x.Header()) // of early hints
	}
	x.ResponseWriter.WriteHeader(status)
}

// answer notes that the final answer begins.
func (x *Exchange) answer(status int) {
	x.status = status
	identity.StripAnswer(x.Header())
	if x.OnAnswer != nil {
		x.OnAnswer(x.Header())
	}
}

// Write breaks an answer off whose tenant is not served any more.
func (x *Exchange) Write(b []byte) (int, error) {
	if err := x.write(); err != nil {
		return 0, err
	}
	return x.ResponseWriter.Write(b)
}

// chunk is how much of a file is sent before the tenant is looked at again.
const chunk = 1 << 20

// ReadFrom is Write for who sends files; without it they would go past Write.
func (x *Exchange) ReadFrom(src io.Reader) (total int64, err error) {
	for {
		if err := x.write(); err != nil {
			return total, err
		}
		n, err := x.ResponseWriterWrapper.ReadFrom(io.LimitReader(src, chunk))
		total += n
		if err != nil || n < chunk {
			return total, err
		}
	}
}

// write notes that a part of the body is to be written, and says whether it may be.
func (x *Exchange) write() error {
	switch {
	case x.status != 0:
	case x.gone: // an answer with a body is the backend's own
		x.WriteHeader(statusClientGone)
	default:
		x.answer(http.StatusOK)
	}
	// A short answer that was on its way is let through.
	if x.begun {
		if err := x.over(); err != nil {
			x.broken = true
			return err
		}
	}
	x.begun = true
	return nil
}

// over says why the request may not go on: its tenant is not served any more, or its
// caller's credential was revoked. As long as nothing has changed since they were found,
// that is a comparison of each.
func (x *Exchange) over() error {
	if now := x.current(); now.LoadedAt() != x.listed && !isActive(now, x.tenant) {
		return errTenantEnded
	}
	if x.good != nil {
		if now := x.credentials(); now != x.found && !x.good(now) {
			return errCredentialEnded
		}
	}
	return nil
}

// EndWithCredential ends the request when good says no after a change of the
// credentials: at once if it is a stream, and otherwise with its next part.
func (x *Exchange) EndWithCredential(good func(*registry.Credentials) bool, current func() *registry.Credentials) {
	x.good, x.credentials, x.found = good, current, current()
	if x.stream != nil {
		x.stream.endWithCredential(good, current)
	}
}

// isActive reports whether a tenant is still served: one that was purged and made
// again under the same slug is another.
func isActive(now *registry.Snapshot, t *tenant.Tenant) bool {
	found := now.BySlug(t.Slug)
	return found == t || found != nil && tenant.Check(found) == nil && found.ID == t.ID
}

var (
	_ http.ResponseWriter = (*Exchange)(nil)
	_ io.ReaderFrom       = (*Exchange)(nil)
)
