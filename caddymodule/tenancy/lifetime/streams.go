package lifetime

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Streams are the requests that may last for days: WebSockets, server-sent
// events, gRPC. Whether their tenant is active, and their caller's credential
// good, is decided when they begin; this ends them when that is no longer so,
// by cancelling their context, which reverse_proxy takes for the client's
// leaving. They are kept with the registry and not with a configuration, since
// streams outlive reloads. Safe for concurrent use; the zero value is empty.
type Streams struct {
	mu     sync.Mutex
	open   map[tenant.Slug]map[*stream]struct{}
	count  int
	closed bool
}

// stream is one of them.
type stream struct {
	all    *Streams
	tenant *tenant.Tenant
	cancel context.CancelCauseFunc
	conn   *http.ResponseController
	fault  *fault // where the cause of its end goes, for the answer if there is none yet
	// good says whether the caller's credential is; nil for nobody's. Guarded
	// by all.mu, since tenant_auth knows the caller after the stream began.
	good  func(*registry.Credentials) bool
	ended bool // also guarded by all.mu
}

// Why a stream was ended, for those who ask its context.
const (
	errTenantEnded     = ending("the tenant is no longer active")
	errCredentialEnded = ending("the caller's credential was revoked")
	errSourceEnded     = ending("the source of tenants is no longer configured")
)

// ending is an end that the gateway made. It passes for the client's leaving, or a proxy
// would blame the backend, which all tenants share.
type ending string

// Error implements error.
func (e ending) Error() string { return string(e) }

// Is implements what errors.Is asks for.
func (ending) Is(target error) bool { return target == context.Canceled }

// silence is how long the client of a stream may say nothing: it has said all it must,
// and goes on when it likes. Its tenant, not a clock, ends the stream.
const silence = 365 * 24 * time.Hour

// asksForStream reports whether a request asks for an answer without an end.
// WebSocket is the only protocol that the directive `tenant` lets through among the
// upgrades and the CONNECTs.
func asksForStream(r *http.Request) bool {
	if len(r.Header["Upgrade"]) > 0 || r.Method == http.MethodConnect {
		return true
	}
	for _, value := range r.Header["Accept"] {
		if strings.Contains(value, "text/event-stream") {
			return true
		}
	}
	kind := r.Header["Content-Type"]
	return len(kind) > 0 && strings.HasPrefix(kind[0], "application/grpc")
}

// begin makes the request one that ends with its tenant; end is called when it
// is over. current is asked once more, for a change that came between the
// tenant's look-up and this.
func (l *Streams) begin(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, current Current, fault *fault) (st *stream, end func()) {
	whole := r.Context()
	ctx, cancel := context.WithCancelCause(whole)
	allowSilence := func() {}
	if in, _ := caddyhttp.IdleTimeoutsFromContext(whole); in != nil {
		allowSilence = in.Override(silence, 0)
	}
	// In place: placeholders look at this very request, and a copy's method,
	// host and body would be hidden from them.
	*r = *r.WithContext(ctx)
	st = &stream{all: l, tenant: t, cancel: cancel, conn: http.NewResponseController(w), fault: fault}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		st.finish(errSourceEnded)
	case !isActive(current(), t):
		st.finish(errTenantEnded)
	}
	if l.open == nil {
		l.open = make(map[tenant.Slug]map[*stream]struct{})
	}
	if l.open[t.Slug] == nil {
		l.open[t.Slug] = make(map[*stream]struct{})
	}
	l.open[t.Slug][st] = struct{}{}
	l.count++
	return st, func() {
		st.end()
		allowSilence()
		*r = *r.WithContext(whole) // an error route goes on with the request
	}
}

func (st *stream) end() {
	st.cancel(nil)
	l := st.all
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open[st.tenant.Slug], st)
	if len(l.open[st.tenant.Slug]) == 0 {
		delete(l.open, st.tenant.Slug)
	}
	l.count--
}

// finish ends the stream, once, and returns how many that were. The caller
// holds all.mu.
func (st *stream) finish(cause error) int {
	if st.ended {
		return 0
	}
	st.ended = true
	st.fault.CompareAndSwap(nil, &cause)
	st.cancel(cause)
	// A stream whose client says nothing would wait in the reading of its body.
	_ = st.conn.SetReadDeadline(time.Unix(1, 0))
	return 1
}

// endWithCredential ends the stream when good says no, now or after a change.
func (st *stream) endWithCredential(good func(*registry.Credentials) bool, current func() *registry.Credentials) {
	st.all.mu.Lock()
	defer st.all.mu.Unlock()
	st.good = good
	// Once more, as in begin.
	if !good(current()) {
		st.finish(errCredentialEnded)
	}
}

// TenantsChanged ends the streams of tenants that are not served any more and
// returns their number.
func (l *Streams) TenantsChanged(e registry.Loaded) (ended int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, of := range l.open {
		for st := range of {
			if !isActive(e.Snapshot, st.tenant) {
				ended += st.finish(errTenantEnded)
			}
		}
	}
	return ended
}

// CredentialsChanged ends the streams whose caller's credential was revoked and
// returns their number.
func (l *Streams) CredentialsChanged(c *registry.Credentials) (ended int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, of := range l.open {
		for st := range of {
			if st.good != nil && !st.good(c) {
				ended += st.finish(errCredentialEnded)
			}
		}
	}
	return ended
}

// Close ends them all and returns nil: nobody would tell them of a change any more.
func (l *Streams) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, of := range l.open {
		for st := range of {
			st.finish(errSourceEnded)
		}
	}
	return nil
}

// Len is how many there are.
func (l *Streams) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}
