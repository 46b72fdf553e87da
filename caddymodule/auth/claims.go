package auth

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/strictjson"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

const (
	maxDepth   = 16  // of JSON in a token
	maxText    = 255 // bytes of sub and jti
	maxRoleLen = 64
	maxList    = 256 // tenants or roles in one token
	// maxTime is the last second of the year 9999, beyond which times stop
	// being writable and arithmetic on them stops being safe.
	maxTime = 253402300799
)

// header is what is used of a JOSE header (RFC 7515, section 4).
type header struct{ alg, kid string }

// refused are header parameters that name or carry a key (an attacker's, if
// one listened), or change what the signature covers. Their presence alone is
// an error.
var refused = []string{"crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc", "epk"}

// parseHeader reads a JOSE header. The types are those of RFC 7519, section
// 5.1, and RFC 9068; another type is another use of the issuer's key, and not
// a token for access (RFC 8725, section 3.11).
func parseHeader(data []byte) (header, error) {
	members, err := strictjson.Object(data, maxDepth)
	if err != nil {
		return header{}, bad(reasonHeader, "reading the header: %v", err)
	}
	for _, name := range refused {
		if _, there := members[name]; there {
			return header{}, bad(reasonHeader, "the header has %q", name)
		}
	}
	var h header
	var typ string
	for name, field := range map[string]*string{"alg": &h.alg, "kid": &h.kid, "typ": &typ} {
		if err := text(members, name, maxKeyID, field); err != nil {
			return header{}, bad(reasonHeader, "%v", err)
		}
	}
	switch strings.TrimPrefix(strings.ToLower(typ), "application/") {
	case "", "jwt", "at+jwt":
	default:
		return header{}, bad(reasonHeader, "typ is not that of an access token")
	}
	return h, nil
}

// parseClaims reads a claims set that is signed, and checks everything but the
// times against now.
func (v *Verifier) parseClaims(data []byte) (Principal, error) {
	members, err := strictjson.Object(data, maxDepth)
	if err != nil {
		return Principal{}, bad(reasonClaims, "reading the claims: %v", err)
	}
	p := Principal{Kind: Token}
	for name, field := range map[string]*time.Time{"exp": &p.Expires, "nbf": &p.NotBefore, "iat": &p.IssuedAt} {
		if err := numericDate(members, name, field); err != nil {
			return Principal{}, err
		}
	}
	if p.Expires.IsZero() {
		return Principal{}, bad(reasonClaims, "there is no exp")
	}
	for name, field := range map[string]*string{"sub": &p.Subject, "jti": &p.TokenID, "iss": &p.Issuer} {
		if err := text(members, name, maxText, field); err != nil {
			return Principal{}, bad(reasonClaims, "%v", err)
		}
	}
	if v.o.Issuer != "" && p.Issuer != v.o.Issuer {
		return Principal{}, bad(reasonIssuer, "iss is another")
	}
	if v.o.Audience != "" {
		audience, err := list(members, "aud")
		if err != nil {
			return Principal{}, err
		}
		if !slices.Contains(audience, v.o.Audience) {
			return Principal{}, bad(reasonAudience, "aud does not name this audience")
		}
	}
	if p.Tenants, err = v.tenants(members); err != nil {
		return Principal{}, err
	}
	if p.Roles, err = roles(members, v.o.RolesClaim); err != nil {
		return Principal{}, err
	}
	return p, nil
}

func (v *Verifier) tenants(members map[string]json.RawMessage) ([]tenant.Slug, error) {
	if !v.o.Tenant.IsZero() {
		return []tenant.Slug{v.o.Tenant}, nil
	}
	names, err := list(members, v.o.TenantClaim)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, bad(reasonTenant, "the tenant claim is missing or empty")
	}
	slugs := make([]tenant.Slug, 0, len(names))
	for _, name := range names {
		slug, err := tenant.ParseSlug(name)
		if err != nil {
			return nil, bad(reasonTenant, "the tenant claim holds what is no slug")
		}
		if slices.Contains(slugs, slug) {
			return nil, bad(reasonTenant, "the tenant claim names one tenant twice")
		}
		slugs = append(slugs, slug)
	}
	return slugs, nil
}

func roles(members map[string]json.RawMessage, claim string) ([]string, error) {
	if claim == "" {
		return nil, nil
	}
	roles, err := list(members, claim)
	if err != nil {
		return nil, err
	}
	for i, role := range roles {
		if !IsRole(role) || slices.Contains(roles[:i], role) {
			return nil, bad(reasonClaims, "the roles claim holds what is no role, or one twice")
		}
	}
	return roles, nil
}

// IsRole accepts what a credential may name as a role: words of 1 to 64
// letters, digits and "_.:/-", which are safe in a header, a log and a list.
func IsRole(s string) bool {
	for i := range len(s) {
		c := s[i]
		if ('a' > c || c > 'z') && ('A' > c || c > 'Z') && ('0' > c || c > '9') && strings.IndexByte("_.:/-", c) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= maxRoleLen
}

// numericDate reads whole seconds since 1970 (RFC 7519, section 2), which may
// be missing. Fractions and exponents are legal there and refused here: no
// issuer needs them, and readers round them differently.
func numericDate(members map[string]json.RawMessage, name string, t *time.Time) error {
	raw, there := members[name]
	if !there {
		return nil
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n <= 0 || n > maxTime {
		return bad(reasonClaims, "%s is not a number of whole seconds", name)
	}
	*t = time.Unix(n, 0)
	return nil
}

// text reads a string member, which may be missing: printable, of at most most
// bytes, so that it can go into logs and headers.
func text(members map[string]json.RawMessage, name string, most int, s *string) error {
	raw, there := members[name]
	if !there {
		return nil
	}
	if !isString(raw) || json.Unmarshal(raw, s) != nil {
		return errMember(name + " is not a string")
	}
	if *s == "" || len(*s) > most {
		return errMember(name + " is empty or too long")
	}
	for _, c := range *s {
		if !strconv.IsPrint(c) {
			return errMember(name + " holds what is not printable")
		}
	}
	return nil
}

// errMember is a finding about a member of fixed name.
type errMember string

func (e errMember) Error() string { return string(e) }

// list reads a member that is a string or an array of strings, or missing.
// Decoding is done into strings only after the first byte of each value was
// looked at: encoding/json would leave a string unset for null.
func list(members map[string]json.RawMessage, name string) ([]string, error) {
	raw, there := members[name]
	if !there {
		return nil, nil
	}
	values := []json.RawMessage{raw}
	if len(raw) > 0 && raw[0] == '[' {
		if err := json.Unmarshal(raw, &values); err != nil {
			return nil, bad(reasonClaims, "the claim is not an array")
		}
	}
	if len(values) > maxList {
		return nil, bad(reasonClaims, "a claim lists more than %d values", maxList)
	}
	out := make([]string, len(values))
	for i, value := range values {
		if !isString(value) || json.Unmarshal(value, &out[i]) != nil {
			return nil, bad(reasonClaims, "a claim is neither a string nor an array of strings")
		}
	}
	return out, nil
}

func isString(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '"' }
