package auth

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/strictjson"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

const (
	maxDepth   = 16   // of JSON in a token
	maxText    = 255  // bytes of sub, jti and iss
	maxList    = 256  // tenants or audiences in one token
	maxRoleLen = 64   // bytes
	maxRoles   = 1536 // bytes of all roles: as many as a signed identity has room for
	// maxTime is the last second of the year 9999, beyond which times stop
	// being writable and arithmetic on them stops being safe.
	maxTime = 253402300799
)

// parseClaims reads a claims set that is signed, and checks everything but the
// times against now. A claim that opens or restricts must be readable; any
// other that cannot be used is left out: the caller is who they are without it.
func (v *Verifier) parseClaims(data []byte) (Principal, error) {
	fail := func(reason, text string) (Principal, error) { return Principal{}, bad(reason, "%s", text) }
	members, err := object(data)
	if err != nil {
		return Principal{}, bad(reasonClaims, "reading the claims: %v", err)
	}
	var p Principal
	optional := func(name string, usable bool) {
		if !usable {
			p.Ignored = append(p.Ignored, name)
		}
	}
	optional("iat", date(members["iat"], &p.IssuedAt))
	optional("sub", text(members["sub"], maxText, &p.Subject))
	optional("jti", text(members["jti"], maxText, &p.TokenID))
	optional("iss", text(members["iss"], maxText, &p.Issuer))
	switch {
	case !date(members["exp"], &p.Expires) || p.Expires.IsZero():
		return fail(reasonClaims, "exp is missing or no number of seconds")
	case !date(members["nbf"], &p.NotBefore):
		return fail(reasonClaims, "nbf is no number of seconds")
	case p.IssuedAt.After(p.Expires):
		return fail(reasonClaims, "iat is after exp")
	case v.o.Issuer != "" && p.Issuer != v.o.Issuer:
		return fail(reasonIssuer, "iss is another")
	}
	if v.o.Audience != "" {
		audience, ok := list(members["aud"])
		if !ok || len(audience) > maxList {
			return fail(reasonClaims, "aud is neither a string nor an array of strings")
		}
		if !slices.Contains(audience, v.o.Audience) {
			return fail(reasonAudience, "aud does not name this audience")
		}
	}
	if p.Tenants, err = v.tenants(members); err != nil {
		return Principal{}, err
	}
	var usable bool
	p.Roles, usable = roles(members[v.o.RolesClaim], v.o.RolesClaim)
	optional(v.o.RolesClaim, usable)
	return p, nil
}

func (v *Verifier) tenants(members map[string]any) ([]tenant.Slug, error) {
	if !v.o.Tenant.IsZero() {
		return []tenant.Slug{v.o.Tenant}, nil
	}
	names, ok := list(members[v.o.TenantClaim])
	if !ok || len(names) > maxList {
		return nil, bad(reasonClaims, "the tenant claim is neither a string nor an array of strings")
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

// roles returns those that can be used, and whether that is all of them. Scopes
// stand in one string with blanks in between (RFC 8693, section 4.2); in any
// other claim a blank belongs to the role, as in "not admin", which is then none.
// When they are too many there are none: which ones to drop is not ours to say.
func roles(value any, claim string) (roles []string, all bool) {
	texts, all := list(value)
	size := 0
	for _, text := range texts {
		words := []string{text}
		if claim == "scope" || claim == "scp" {
			words = strings.Fields(text)
		}
		for _, role := range words {
			if !IsRole(role) {
				all = false
			} else if !slices.Contains(roles, role) {
				roles = append(roles, role)
				size += len(role)
			}
			if size+len(`"",`)*len(roles) > maxRoles {
				return nil, false
			}
		}
	}
	return roles, all
}

// IsRole accepts what a credential may name as a role: words of 1 to 64
// letters, digits and "_.:/-", which are safe in a header, a log and a list.
func IsRole(s string) bool {
	return s != "" && len(s) <= maxRoleLen && isOf(s, "_.:/-")
}

// isOf reports whether the text consists of ASCII letters, digits and more.
func isOf(s, more string) bool {
	for i := range len(s) {
		c := s[i]
		if ('a' > c || c > 'z') && ('A' > c || c > 'Z') && ('0' > c || c > '9') && strings.IndexByte(more, c) < 0 {
			return false
		}
	}
	return true
}

// object reads one object; see [strictjson.Members] for what it refuses. A member
// that is null is there, with a value that no reader below can use.
func object(data []byte) (map[string]any, error) {
	if _, err := strictjson.Members(data, maxDepth); err != nil {
		return nil, err
	}
	var members map[string]any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&members); err != nil {
		return nil, err
	}
	for name, value := range members {
		if value == nil {
			members[name] = false
		}
	}
	return members, nil
}

// The readers below return false for a value that cannot be used and leave the
// target as it is; they return true for one that is missing.

// date reads seconds since 1970, with or without a fraction (RFC 7519, section 2).
func date(value any, t *time.Time) bool {
	if value == nil {
		return true
	}
	number, _ := value.(json.Number)
	n, err := number.Float64()
	if err != nil || n <= 0 || n > maxTime {
		return false
	}
	whole, fraction := math.Modf(n)
	*t = time.Unix(int64(whole), int64(fraction*1e9))
	return true
}

// text reads a string that can go into logs and headers: printable, of at most
// most bytes.
func text(value any, most int, to *string) bool {
	if value == nil {
		return true
	}
	s, ok := value.(string)
	if !ok || s == "" || len(s) > most || strings.ContainsFunc(s, func(c rune) bool { return !strconv.IsPrint(c) }) {
		return false
	}
	*to = s
	return true
}

// list returns a string, or the strings of an array, and whether there is nothing
// else in it.
func list(value any) (texts []string, all bool) {
	values, isArray := value.([]any)
	if !isArray && value != nil {
		values = []any{value}
	}
	for _, v := range values {
		if s, ok := v.(string); ok {
			texts = append(texts, s)
		}
	}
	return texts, len(texts) == len(values)
}
