package identity

import (
	"net/http"
	"slices"
	"strings"
)

// owned are the headers of the gateway, and those that backends are known to
// believe about host, path and prefix although any client can send them.
// Lower case, hyphens.
var owned = []string{
	"tenant-identity", "x-tenant-id", "x-tenant-plan", "tenant-audit",
	"forwarded", "x-forwarded-prefix", "x-forwarded-server",
	"x-host", "x-http-host-override", "x-original-host", "x-original-url", "x-rewrite-url",
}

// ownToBackends is how many of owned, the first ones, are the gateway's own words.
const ownToBackends = 4

// Strip removes what a client sent under a name that only the gateway may
// use: in any case, with "_" or "." for "-", any number of times; also every
// further name in extra. It makes sure that a header injected later arrives:
// the Connection header keeps only what concerns the connection, since a
// proxy deletes every header named there (RFC 9110, section 7.6.1), and
// trailers are dropped, since a backend may read them as headers.
//
// Deleting comes first and setting later; nothing is replaced in place.
func Strip(r *http.Request, extra ...string) {
	for name := range r.Header {
		if isOwned(name, extra) {
			delete(r.Header, name)
		}
	}
	keepConnectionOptions(r.Header)
	delete(r.Header, "Trailer")
	r.Trailer = nil
}

// StripAnswer removes from an answer what only the gateway may say to a backend: a
// backend that echoes its request would show a client what it must not know. It is for
// trailers too.
func StripAnswer(h http.Header) {
	for name := range h {
		bare := strings.TrimPrefix(name, http.TrailerPrefix)
		if slices.ContainsFunc(owned[:ownToBackends], func(other string) bool { return sameName(bare, other) }) {
			delete(h, name)
		}
	}
}

func isOwned(name string, extra []string) bool {
	same := func(other string) bool { return sameName(name, other) }
	return slices.ContainsFunc(owned, same) || slices.ContainsFunc(extra, same)
}

// sameName compares header names as the most careless backend would: CGI turns
// every "-" into "_", and some servers "." too.
func sameName(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if fold(a[i]) != fold(b[i]) {
			return false
		}
	}
	return true
}

func fold(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case c == '_' || c == '.':
		return '-'
	}
	return c
}

// keepConnectionOptions leaves "close", "keep-alive", "upgrade" and "te" in
// the Connection header and removes all else.
func keepConnectionOptions(h http.Header) {
	values := h["Connection"]
	if len(values) == 0 || len(values) == 1 && isConnectionOption(values[0]) {
		return
	}
	var kept []string
	for _, value := range values {
		for option := range strings.SplitSeq(value, ",") {
			if option = strings.Trim(option, " \t"); isConnectionOption(option) {
				kept = append(kept, option)
			}
		}
	}
	if len(kept) == 0 {
		delete(h, "Connection")
		return
	}
	h["Connection"] = []string{strings.Join(kept, ", ")}
}

func isConnectionOption(s string) bool {
	return strings.EqualFold(s, "close") || strings.EqualFold(s, "keep-alive") ||
		strings.EqualFold(s, "upgrade") || strings.EqualFold(s, "te")
}
