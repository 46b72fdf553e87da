package httptenant

import (
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/problem"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// reasonMisdirected is the metric label of requests that asked for another host
// than their connection.
const reasonMisdirected = "misdirected"

// misdirected reports whether the request came over a TLS connection that was
// made for another host: the server name of the handshake and the host of the
// request, both in normal form, differ.
//
// Whatever is decided by the handshake, as which certificate was shown, which
// client certificates were asked for and what a firewall in between let pass,
// was decided for the server name; a request for another host would get past
// all of it. HTTP/2 and HTTP/3 clients do send such requests without malice:
// they coalesce connections to names under one wildcard certificate
// (RFC 9113, section 9.1.1). They repeat a request that is answered 421 on a
// connection of its own (RFC 9110, section 15.5.20), which is why the answer is
// not the common 404. It says nothing about tenants: it follows from two names
// that the client itself has sent.
//
// A handshake without a server name names nobody; it succeeds only where the
// operator has chosen a certificate for it (default_sni). A host that has no
// normal form is left to the resolvers, which refuse it.
func misdirected(r *http.Request) bool {
	if r.TLS == nil || r.TLS.ServerName == "" {
		return false
	}
	// Most requests have the very same text in both places.
	if host, _, _ := strings.Cut(r.Host, ":"); host == r.TLS.ServerName {
		return false
	}
	host, err := tenant.NormalizeHost(r.Host)
	if err != nil {
		return false
	}
	name, err := tenant.NormalizeHost(r.TLS.ServerName)
	return err != nil || host != name
}

// refuseMisdirected answers a misdirected request without looking at anything
// else in it.
func (h *Handler) refuseMisdirected(w http.ResponseWriter, r *http.Request) error {
	identity.Strip(r, h.owned...)
	h.app.Metrics().Rejected(reasonMisdirected)
	h.app.RecordMisdirected(r)
	if entry := h.log.Check(zap.DebugLevel, "request for another host than its connection"); entry != nil {
		entry.Write(zap.String("server_name", r.TLS.ServerName), zap.String("host", r.Host))
	}
	return problem.Misdirected.Answer(w, r)
}
