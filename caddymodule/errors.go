package caddymodule

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// problem is one of the answers that the gateway itself gives (RFC 9457). The
// table below is all there are; what the cause was is for logs, metrics and
// the audit trail, never for the body.
type problem struct {
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
	// problemNoTenant answers for unknown, suspended, malformed, missing and
	// conflicting tenants alike: an outsider must not learn which.
	problemNoTenant = newProblem(http.StatusNotFound, "about:blank", "Not Found", "", 0)
	// problemMisdirected answers a request for another host than the one its
	// TLS connection was made for; a client then makes another connection.
	problemMisdirected = newProblem(http.StatusMisdirectedRequest, "about:blank", "Misdirected Request", "", 0)
	// problemStarting answers until the first list of tenants, or the first key to
	// verify tokens with, has been read, and while the list is too old.
	problemStarting = newProblem(http.StatusServiceUnavailable, typeReducedCapacity, "Service Unavailable", "The service is not ready. Try again shortly.", 1)
	// problemStore answers when the limiter's store is down and the plan's
	// policy is to refuse.
	problemStore = newProblem(http.StatusServiceUnavailable, typeReducedCapacity, "Service Unavailable", "Capacity is reduced for a moment. Try again shortly.", 1)
	// problemToken answers for a missing or bad token.
	problemToken = newProblem(http.StatusUnauthorized, "about:blank", "Unauthorized", "", 0)
	// problemForeign answers another tenant's member where the operator prefers
	// plain words to the common 404.
	problemForeign = newProblem(http.StatusForbidden, "about:blank", "Forbidden", "The token is for another tenant.", 0)
	// problemSuspended is told to members of a suspended tenant, and to nobody
	// else.
	problemSuspended = newProblem(http.StatusForbidden, "urn:caddy-tenancy:tenant-suspended", "Tenant Suspended", "This tenant is suspended. Its data is kept; ask the operator of the service.", 0)
	// problemAbuse answers a client that has guessed too often.
	problemAbuse = newProblem(http.StatusTooManyRequests, typeAbnormalUsage, "Too Many Requests", "", 0)
	// problemInternal answers for what only an operator can mend.
	problemInternal = newProblem(http.StatusInternalServerError, "about:blank", "Internal Server Error", "", 0)
)

func newProblem(status int, kind, title, detail string, retryAfter int) *problem {
	p := &problem{status: status, kind: kind, title: title, detail: detail, retryAfter: retryAfter, err: errors.New(strings.ToLower(title))}
	p.body = p.encode(nil)
	return p
}

// quotaExceeded is the answer to a request over its limits; names are those of
// the limits it would have broken.
func quotaExceeded(names []string) *problem {
	p := &problem{status: http.StatusTooManyRequests, kind: typeQuotaExceeded, title: "Too Many Requests", err: errQuota}
	p.body = p.encode(names)
	return p
}

var errQuota = errors.New("too many requests")

// encode writes the members in a fixed order. All strings in it are the
// program's own or checked names of limits: strconv.Quote yields valid JSON
// for them.
func (p *problem) encode(violated []string) []byte {
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

// answer ends the request with the problem. If the server has an error route
// for this request it returns the error, so that handle_errors dresses the
// answer (headers that are set already stay); otherwise it writes the problem
// itself, because Caddy alone would answer without a body.
func (p *problem) answer(w http.ResponseWriter, r *http.Request) error {
	if p.retryAfter > 0 {
		w.Header()["Retry-After"] = []string{strconv.Itoa(p.retryAfter)}
	}
	if dressed(r) {
		return caddyhttp.HandlerError{Err: p.err, StatusCode: p.status}
	}
	h := w.Header()
	h["Content-Type"] = contentTypeProblem
	h["Content-Length"] = []string{strconv.Itoa(len(p.body))}
	h["Cache-Control"] = cacheControlNoStore
	h["X-Content-Type-Options"] = nosniff
	w.WriteHeader(p.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(p.body) // the client is gone if this fails
	}
	return nil
}

var (
	contentTypeProblem  = []string{"application/problem+json"}
	cacheControlNoStore = []string{"no-store"}
	nosniff             = []string{"nosniff"}
)

// dressed reports whether the configuration has an error route (handle_errors)
// for this request. A matcher that fails counts as one: Caddy then decides.
func dressed(r *http.Request) bool {
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
