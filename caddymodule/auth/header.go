package auth

import (
	"encoding/base64"
	"strings"
)

// header is what is used of a JOSE header (RFC 7515, section 4).
type header struct{ alg, kid string }

// parseHeader reads a JOSE header. The types are those of RFC 7519, section
// 5.1, and RFC 9068; another type is another use of the issuer's key, and not
// a token for access (RFC 8725, section 3.11).
func parseHeader(data []byte) (header, error) {
	members, err := object(data)
	if err != nil {
		return header{}, bad(reasonHeader, "reading the header: %v", err)
	}
	// These name or carry a key (an attacker's, if one listened), or change what
	// the signature covers. That they are there is an error.
	for _, name := range []string{"crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc", "epk"} {
		if _, there := members[name]; there {
			return header{}, bad(reasonHeader, "the header has %q", name)
		}
	}
	var h header
	var typ string
	for name, field := range map[string]*string{"alg": &h.alg, "kid": &h.kid, "typ": &typ} {
		if !text(members[name], maxKeyID, field) {
			return header{}, bad(reasonHeader, "%s is no printable text of 1 to %d bytes", name, maxKeyID)
		}
	}
	switch strings.TrimPrefix(strings.ToLower(typ), "application/") {
	case "", "jwt", "at+jwt":
		return h, nil
	}
	return header{}, bad(reasonHeader, "typ is not that of an access token")
}

// decodeSegment reads base64url as RFC 7515, section 2, defines it: no padding,
// no line breaks (which encoding/base64 skips), no bits left over.
func decodeSegment(s string) ([]byte, bool) {
	if !isOf(s, "-_") {
		return nil, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return b, err == nil
}
