package auth

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// scheme is the one spelling of the authentication scheme that is read. Others
// are the same scheme to RFC 9110 and a bad token here: a proxy or a backend
// that compares bytes must not see another credential than this package.
const scheme = "Bearer "

// APIKeyHeader is the header in which an API key may be sent, in net/http's
// spelling.
const APIKeyHeader = "X-Api-Key"

// BearerToken returns the one credential of a request's Authorization header
// (RFC 6750, section 2.1), unverified.
//
// It returns [ErrNoToken] when there is no such header or its scheme is another
// one, as in "Basic ...", without an API key in it, and [ErrBadToken] for whatever
// is neither that nor exactly one bearer token: several headers or values, another
// spelling of the scheme, characters that no token has, and a token in the query
// as access_token (section 2.3), where it ends up in logs. A token in a cookie or
// a body is none.
func BearerToken(h http.Header, rawQuery string) (string, error) {
	if queryHasToken(rawQuery) {
		return "", bad(reasonMalformed, "a token in the query")
	}
	value, err := single(h, "Authorization")
	if err != nil {
		return "", err
	}
	token, ok := strings.CutPrefix(value, scheme)
	if !ok {
		name, _, _ := strings.Cut(value, " ")
		if name != "" && isOf(name, "-") && !strings.EqualFold(name, strings.TrimSpace(scheme)) {
			// Under a scheme that nobody reads, a key would get to the backend.
			if IsAPIKey(value[strings.LastIndexByte(value, ' ')+1:]) {
				return "", bad(reasonMalformed, "an API key under the scheme %q", name)
			}
			return "", ErrNoToken
		}
		return "", bad(reasonMalformed, "expected %q and a token in the Authorization header", scheme)
	}
	// RFC 9110, section 11.2, without the padding: no token here has any.
	if token == "" || !isOf(token, "-._~+/") {
		return "", bad(reasonMalformed, "expected one token of letters, digits and \"-._~+/\"")
	}
	return token, nil
}

// Credential returns the request's bearer token or API key, whichever one it
// carries. Both at once are [ErrBadToken], as two names for one caller are how
// a check and what is behind it come to disagree. See [BearerToken].
func Credential(h http.Header, rawQuery string) (string, error) {
	key, keyErr := single(h, APIKeyHeader)
	token, err := BearerToken(h, rawQuery)
	switch {
	case errors.Is(keyErr, ErrNoToken):
		return token, err
	case keyErr != nil:
		return "", keyErr
	case err == nil:
		return "", bad(reasonMalformed, "both a bearer token and an API key")
	case !errors.Is(err, ErrNoToken):
		return "", err
	case !IsAPIKey(key):
		return "", bad(reasonMalformed, "expected an API key in the %s header", APIKeyHeader)
	}
	return key, nil
}

// single returns a header's only value.
func single(h http.Header, name string) (string, error) {
	switch values := h[name]; len(values) {
	case 0:
		return "", ErrNoToken
	case 1:
		return values[0], nil
	default:
		return "", bad(reasonMalformed, "%d %s headers", len(values), name)
	}
}

// queryHasToken looks for the parameter of RFC 6750, section 2.3, in any
// spelling that a server would decode to it.
func queryHasToken(rawQuery string) bool {
	const name = "access_token"
	for pair := range strings.FieldsFuncSeq(rawQuery, func(c rune) bool { return c == '&' || c == ';' }) {
		key, _, _ := strings.Cut(pair, "=")
		if len(key) < len(name) || len(key) > 3*len(name) {
			continue
		}
		if decoded, err := url.QueryUnescape(key); err == nil && strings.EqualFold(decoded, name) {
			return true
		}
	}
	return false
}
