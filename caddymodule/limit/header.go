package limit

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Canonical names, so that the map can be assigned to directly. On the wire
// header names have no case.
const (
	headerLimit     = "X-Ratelimit-Limit"
	headerRemaining = "X-Ratelimit-Remaining"
	headerReset     = "X-Ratelimit-Reset"
	headerPolicy    = "Ratelimit-Policy"
	headerRateLimit = "Ratelimit"
	headerRetry     = "Retry-After"
)

// policyHeaders are the parts of the fields that do not change from request to
// request.
type policyHeaders struct {
	limit  []string // value of X-RateLimit-Limit
	policy []string // value of RateLimit-Policy
	items  [MaxLimits]string
}

func newPolicyHeaders(p *Policy) policyHeaders {
	var h policyHeaders
	var policy strings.Builder
	for i, l := range p.Limits {
		// Names need no escaping inside an RFC 9651 string.
		h.items[i] = `"` + l.Name() + `";r=`
		if i > 0 {
			policy.WriteString(", ")
		}
		policy.WriteString(`"` + l.Name() + `";q=` + strconv.FormatInt(l.N, 10))
		if w := l.seconds(); w > 0 {
			policy.WriteString(";w=" + strconv.FormatInt(w, 10))
		}
		if l.Kind == Concurrent {
			policy.WriteString(`;qu="concurrent-requests"`)
		}
	}
	h.limit = []string{strconv.FormatInt(p.Limits[0].N, 10)}
	h.policy = []string{policy.String()}
	return h
}

// WriteHeaders sets the header fields that tell a client where it stands:
// X-RateLimit-Limit, -Remaining and -Reset (seconds from now) for the first
// limit, RateLimit-Policy and RateLimit for all of them
// (draft-ietf-httpapi-ratelimit-headers-10, in the syntax of RFC 9651), and
// Retry-After when the request was refused. Seconds are rounded up, so a
// client that waits as told is never early. Nothing is set when d is Degraded,
// because the numbers would be guesses.
func WriteHeaders(h http.Header, p *Policy, d Decision) {
	if d.Degraded || d.Len == 0 {
		return
	}
	first := &d.States[0]
	// Capped slices: whoever appends to the header copies first.
	h[headerLimit] = p.headers.limit[:1:1]
	h[headerPolicy] = p.headers.policy[:1:1]

	// The values are parts of one text, so that a request costs two allocations.
	var array [320]byte
	list := p.appendRateLimit(array[:0], &d)
	remaining := strconv.AppendInt(list, first.Remaining, 10)
	reset := strconv.AppendInt(remaining, ceilSeconds(first.Reset), 10)
	text := string(reset)
	values := []string{text[len(list):len(remaining)], text[len(remaining):], text[:len(list)]}
	h[headerRemaining], h[headerReset], h[headerRateLimit] = values[0:1:1], values[1:2:2], values[2:3:3]
	if !d.Allowed {
		h[headerRetry] = []string{strconv.FormatInt(retrySeconds(&d), 10)}
	}
}

// StripHeaders removes the fields in which a server says where its client stands:
// RateLimit and X-RateLimit and all that begin as these. A gateway removes the
// upstream's before it sets its own, because a client that reads two numbers
// cannot know which one counts. Retry-After stays: it is about more than quotas.
func StripHeaders(h http.Header) {
	for name := range h {
		rest := name
		if len(rest) > 2 && strings.EqualFold(rest[:2], "X-") {
			rest = rest[2:]
		}
		if n := len(headerRateLimit); len(rest) >= n && strings.EqualFold(rest[:n], headerRateLimit) && (len(rest) == n || rest[n] == '-') {
			delete(h, name)
		}
	}
}

// appendRateLimit writes the RateLimit list. The t parameter is left out when the
// quota is full, because no additional quota will come.
func (p *Policy) appendRateLimit(buf []byte, d *Decision) []byte {
	for i := range d.Len {
		if i > 0 {
			buf = append(buf, ", "...)
		}
		st := &d.States[i]
		buf = append(buf, p.headers.items[i]...)
		buf = strconv.AppendInt(buf, st.Remaining, 10)
		if st.Reset > 0 {
			buf = append(buf, ";t="...)
			buf = strconv.AppendInt(buf, ceilSeconds(st.Reset), 10)
		}
	}
	return buf
}

// retrySeconds is the value of Retry-After: at least 1, and never before the t
// of a violated limit, as the draft demands.
func retrySeconds(d *Decision) int64 {
	wait := d.RetryAfter
	for i := range d.Len {
		if d.States[i].Violated {
			wait = max(wait, d.States[i].Reset)
		}
	}
	return max(1, ceilSeconds(wait))
}

func ceilSeconds(d time.Duration) int64 {
	return int64((d + time.Second - 1) / time.Second)
}
