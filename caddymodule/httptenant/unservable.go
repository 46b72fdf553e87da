package httptenant

import (
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/problem"
)

// allowed is sent with problem.Method (RFC 9110, section 15.5.6).
var allowed = []string{"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}

// reasonUnservable is the metric label of such requests.
const reasonUnservable = "unservable"

// unservable returns the answer to a request that must not be proxied, whoever
// it is for, or nil. It follows from the request alone, so it tells nothing
// about tenants.
//
// CONNECT asks for a tunnel through the gateway (a WebSocket over HTTP/2 or
// HTTP/3 is the exception, RFC 8441), and TRACE has a server repeat headers
// that the client must not see. A target of "*" has no path, one with userinfo
// has two names in its authority (RFC 9110, section 4.2.4), and one with "#"
// is cut there by some backends and not by others.
//
// What came before the handshake was confirmed may be a copy of what somebody else
// sent, from an address that nobody has checked: early data of HTTP/3 (RFC 8470,
// section 5.2). Its client sends it again. A method that is no token would fail in
// the proxy, which blames the backend.
func unservable(r *http.Request) *problem.Problem {
	if r.TLS != nil && !r.TLS.HandshakeComplete {
		return problem.Early
	}
	if !httpguts.ValidHeaderFieldName(r.Method) {
		return problem.Request
	}
	switch r.Method {
	case http.MethodConnect:
		if !(r.ProtoMajor == 2 && r.Header.Get(":protocol") == "websocket") && !(r.ProtoMajor == 3 && r.Proto == "websocket") {
			return problem.Method
		}
	case http.MethodTrace:
		return problem.Method
	}
	if noPort(r.Host) {
		return problem.Request
	}
	if r.URL.Path == "*" || r.URL.User != nil || strings.IndexByte(r.RequestURI, '#') >= 0 {
		return problem.Target
	}
	return nil
}

// noPort reports whether a host has a port that there is not. What else may be wrong with
// it is no tenant's name, and that is decided elsewhere.
func noPort(host string) bool {
	_, port, ok := strings.Cut(host, ":")
	if !ok || strings.HasPrefix(host, "[") {
		return false
	}
	_, err := strconv.ParseUint(port, 10, 16)
	return err != nil
}

// refuseUnservable answers such a request.
func (h *Handler) refuseUnservable(w http.ResponseWriter, r *http.Request, p *problem.Problem) error {
	identity.Strip(r, h.owned...)
	h.app.Metrics().Rejected(reasonUnservable)
	if p == problem.Method {
		w.Header()["Allow"] = allowed
	}
	return p.Answer(w, r)
}

// keepProtocol drops a wish to go on in another protocol, unless it is
// WebSocket: a backend that agreed to h2c would turn the connection into a
// tunnel for requests that no module sees.
func keepProtocol(h http.Header) {
	delete(h, "Http2-Settings")
	if values, there := h["Upgrade"]; there && (len(values) != 1 || !strings.EqualFold(values[0], "websocket")) {
		delete(h, "Upgrade")
	}
}
