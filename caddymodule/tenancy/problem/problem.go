// Package problem holds the answers that the gateway itself gives: problem
// documents of RFC 9457. The table below is all there are; what the cause was is
// for logs, metrics and the audit log, never for the body.
package problem

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Problem is one of the answers. It is never changed and safe for concurrent use.
type Problem struct {
	status     int
	kind       string // the "type" member
	title      string
	detail     string
	retryAfter int // seconds; 0 sends no Retry-After
	err        error
	body       []byte
}

// The types of draft-ietf-httpapi-ratelimit-headers-10, section 7.
const (
	typeQuotaExceeded   = "https://iana.org/assignments/http-problem-types#quota-exceeded"
	typeReducedCapacity = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
	typeAbnormalUsage   = "https://iana.org/assignments/http-problem-types#abnormal-usage-detected"
)

var (
	// NoTenant answers for unknown, suspended, malformed, missing and conflicting
	// tenants alike: an outsider must not learn which.
	NoTenant = New(http.StatusNotFound, "about:blank", "Not Found", "", 0)
	// Misdirected answers a request for another host than the one its TLS connection
	// was made for; a client then makes another connection.
	Misdirected = New(http.StatusMisdirectedRequest, "about:blank", "Misdirected Request", "", 0)
	// Starting answers until the first list of tenants, or the first key to verify
	// tokens with, has been read, and while the list is too old. It also answers for
	// a tenant whose record has a fault that must not open anything.
	Starting = New(http.StatusServiceUnavailable, typeReducedCapacity, "Service Unavailable", "The service is not ready. Try again shortly.", 1)
	// Store answers when the limiter's store is down and the plan's policy is to
	// refuse.
	Store = New(http.StatusServiceUnavailable, typeReducedCapacity, "Service Unavailable", "Capacity is reduced for a moment. Try again shortly.", 1)
	// Token answers for a missing or bad token.
	Token = New(http.StatusUnauthorized, "about:blank", "Unauthorized", "", 0)
	// Foreign answers another tenant's member where the operator prefers plain words
	// to the common 404.
	Foreign = New(http.StatusForbidden, "about:blank", "Forbidden", "The token is for another tenant.", 0)
	// Suspended is told to members of a suspended tenant, and to nobody else.
	Suspended = New(http.StatusForbidden, "urn:caddy-tenancy:tenant-suspended", "Tenant Suspended", "This tenant is suspended. Its data is kept; ask the operator of the service.", 0)
	// Abuse answers a client with too many failed attempts.
	Abuse = New(http.StatusTooManyRequests, typeAbnormalUsage, "Too Many Requests", "", 0)
	// Internal answers for what only an operator can mend.
	Internal = New(http.StatusInternalServerError, "about:blank", "Internal Server Error", "", 0)
	// Method answers a request by a method that is for no resource of any tenant.
	Method = New(http.StatusMethodNotAllowed, "about:blank", "Method Not Allowed", "", 0)
	// Target answers a request whose target is not valid.
	Target = New(http.StatusBadRequest, "about:blank", "Bad Request", "The request target is not valid.", 0)
	// Request answers a request whose parts no server could pass on.
	Request = New(http.StatusBadRequest, "about:blank", "Bad Request", "The request is not valid.", 0)
	// Early answers one that came before its handshake was confirmed (RFC 8470, section
	// 5.2).
	Early = New(http.StatusTooEarly, "about:blank", "Too Early", "", 0)
	// Body answers a request whose body broke off or was malformed.
	Body = New(http.StatusBadRequest, "about:blank", "Bad Request", "The request body is malformed or incomplete.", 0)
	// Stalled answers one whose body did not come in time (RFC 9110, section 15.5.9).
	Stalled = New(http.StatusRequestTimeout, "about:blank", "Request Timeout", "The request body did not come in time.", 0)
)

// New makes a problem document; retryAfter is in seconds, 0 for none.
func New(status int, kind, title, detail string, retryAfter int) *Problem {
	p := &Problem{status: status, kind: kind, title: title, detail: detail, retryAfter: retryAfter, err: errors.New(strings.ToLower(title))}
	p.body = p.encode(nil)
	return p
}

// QuotaExceeded is the answer to a request over its limits; names are those of the
// limits it would have broken.
func QuotaExceeded(names []string) *Problem {
	p := &Problem{status: http.StatusTooManyRequests, kind: typeQuotaExceeded, title: "Too Many Requests", err: errQuota}
	p.body = p.encode(names)
	return p
}

var errQuota = errors.New("too many requests")

// encode writes the members in a fixed order. All strings in it are the program's
// own or checked names of limits: strconv.Quote yields valid JSON for them.
func (p *Problem) encode(violated []string) []byte {
	b := append([]byte(`{"type":`), strconv.Quote(p.kind)...)
	b = append(b, `,"title":`...)
	b = strconv.AppendQuote(b, p.title)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(p.status), 10)
	if p.detail != "" {
		b = append(b, `,"detail":`...)
		b = strconv.AppendQuote(b, p.detail)
	}
	for i, name := range violated {
		if i == 0 {
			b = append(b, `,"violated-policies":[`...)
		} else {
			b = append(b, ',')
		}
		b = strconv.AppendQuote(b, name)
		if i == len(violated)-1 {
			b = append(b, ']')
		}
	}
	return append(b, "}\n"...)
}

// Answer ends the request with the problem. If the server has an error route for
// this request it returns the error, so that handle_errors words the answer
// (headers that are set already stay); otherwise it writes the problem itself,
// because Caddy alone would answer without a body.
func (p *Problem) Answer(w http.ResponseWriter, r *http.Request) error {
	if p.retryAfter > 0 {
		w.Header()["Retry-After"] = []string{strconv.Itoa(p.retryAfter)}
	}
	if hasErrorRoute(r) {
		return caddyhttp.HandlerError{Err: p.err, StatusCode: p.status}
	}
	h := w.Header()
	h["Content-Type"] = []string{"application/problem+json"}
	h["Content-Length"] = []string{strconv.Itoa(len(p.body))}
	h["Cache-Control"] = []string{"no-store"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	w.WriteHeader(p.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(p.body) // the client is gone if this fails
	}
	return nil
}

// hasErrorRoute reports whether the configuration has an error route
// (handle_errors) for this request. A matcher that fails counts as one: Caddy then
// decides.
func hasErrorRoute(r *http.Request) bool {
	srv, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if srv == nil || srv.Errors == nil {
		return false
	}
	for i := range srv.Errors.Routes {
		sets := srv.Errors.Routes[i].MatcherSets
		if len(sets) == 0 {
			return true
		}
		if match, err := sets.AnyMatchWithError(r); match || err != nil {
			return true
		}
	}
	return false
}
