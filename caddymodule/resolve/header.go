package resolve

import (
	"fmt"
	"net/http"
	"net/textproto"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Header finds the tenant by a request header that holds the slug. Make one with
// [NewHeader].
type Header struct {
	key string // canonical
}

// reservedHeaders have a meaning of their own on the way to the backend.
var reservedHeaders = map[string]bool{
	"Host": true, "Connection": true, "Content-Length": true, "Content-Type": true,
	"Transfer-Encoding": true, "Te": true, "Trailer": true, "Upgrade": true,
	"Keep-Alive": true, "Authorization": true, "Proxy-Authorization": true,
	"Proxy-Connection": true, "Cookie": true, "Expect": true, "Forwarded": true,
}

// NewHeader returns a resolver for the header of that name, in any case: letters,
// digits and single inner hyphens. Other characters that a header name may have
// are refused, since gateways and backends take them for hyphens.
func NewHeader(name string) (*Header, error) {
	if name == "" || len(name) > 64 {
		return nil, fmt.Errorf("reading header name %q: expected 1 to 64 characters", name)
	}
	for i := range len(name) {
		inner := i > 0 && i < len(name)-1 && name[i-1] != '-'
		if !isAlnum(name[i]) && (name[i] != '-' || !inner) {
			return nil, fmt.Errorf("reading header name %q: expected letters, digits and single inner hyphens", name)
		}
	}
	key := textproto.CanonicalMIMEHeaderKey(name)
	if reservedHeaders[key] {
		return nil, fmt.Errorf("reading header name %q: expected a header without a meaning of its own, as in %q", name, "X-Tenant-ID")
	}
	return &Header{key: key}, nil
}

// Name returns "header".
func (h *Header) Name() string { return "header" }

// Key returns the header's name in canonical form.
func (h *Header) Key() string { return h.key }

// OwnedHeaders implements [HeaderOwner].
func (h *Header) OwnedHeaders() []string { return []string{h.key} }

// Resolve reads the header's one value, which must be a slug as it stands. An
// empty value, a list, a second value, and any other spelling of the name
// ("x_tenant_id", "X.Tenant.ID"), in the header or announced as a trailer, are
// [tenant.ErrMalformed]: the backend could take another one for the tenant.
// Without the header the answer is [tenant.ErrMissing].
func (h *Header) Resolve(r *http.Request, l tenant.Lookup) (Answer, error) {
	for key := range r.Header {
		if key != h.key && alias(key, h.key) {
			return Answer{}, fmt.Errorf("reading header %q: %w: another spelling of it is present", h.key, tenant.ErrMalformed)
		}
	}
	for key := range r.Trailer {
		if alias(key, h.key) {
			return Answer{}, fmt.Errorf("reading header %q: %w: it is announced as a trailer", h.key, tenant.ErrMalformed)
		}
	}
	values := r.Header[h.key]
	switch len(values) {
	case 0:
		return Answer{}, tenant.ErrMissing
	case 1:
	default:
		return Answer{}, fmt.Errorf("reading header %q: %w: expected one value, found %d", h.key, tenant.ErrMalformed, len(values))
	}
	slug, err := tenant.ParseSlug(values[0])
	if err != nil {
		return Answer{}, fmt.Errorf("reading header %q: %w", h.key, err)
	}
	return find(l, slug, "header")
}

// alias reports whether somebody could take name for key: the same letters and
// digits in any case, and anything else in the places of the hyphens, as in
// CGI's environment (RFC 3875, section 4.1.18).
func alias(name, key string) bool {
	if len(name) != len(key) {
		return false
	}
	for i := range len(key) {
		a, b := name[i], key[i]
		if isAlnum(a) != isAlnum(b) || isAlnum(a) && a|0x20 != b|0x20 {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

var _ HeaderOwner = (*Header)(nil)
