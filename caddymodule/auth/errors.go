package auth

import (
	"errors"
	"fmt"
)

var (
	// ErrNoToken means that the request carries no credential that is read here:
	// none at all, or one of another scheme.
	ErrNoToken = errors.New("no token")
	// ErrBadToken means that the request carries a credential that must not
	// pass, not even as an anonymous caller. [Reason] says why.
	ErrBadToken = errors.New("bad token")
	// ErrNoKeys means that no keys have been read, or not for too long, so that
	// nothing can be said about a token: the gateway's fault, not the caller's.
	ErrNoKeys = errors.New("no verification keys")
)

// Words that [Reason] returns for a bad token: short, of a fixed list, and so
// fit for metric labels.
const (
	reasonMalformed = "malformed"   // not a token, or two of them
	reasonTooLong   = "too_long"    // more than maxTokenBytes
	reasonHeader    = "header"      // a JOSE header that is not believed
	reasonAlgorithm = "algorithm"   // not allowed, or not the key's
	reasonKey       = "unknown_key" // no key, or several, would fit
	reasonSignature = "signature"   // does not verify
	reasonClaims    = "claims"      // missing, of another type, ambiguous
	reasonExpired   = "expired"     // exp has passed
	reasonEarly     = "early"       // nbf or iat is in the future
	reasonLifetime  = "lifetime"    // lives longer than MaxLifetime
	reasonIssuer    = "issuer"      // another iss
	reasonAudience  = "audience"    // another aud
	reasonTenant    = "tenant"      // the tenant claim names none
	reasonRevoked   = "revoked"     // on the deny list, or a withdrawn API key
)

// badToken is an ErrBadToken with its reason. The text is for a log, not for
// the sender.
type badToken struct{ reason, text string }

func (e *badToken) Error() string { return ErrBadToken.Error() + ": " + e.reason + ": " + e.text }

func (e *badToken) Unwrap() error { return ErrBadToken }

func bad(reason, format string, args ...any) error {
	return &badToken{reason, fmt.Sprintf(format, args...)}
}

// Reason is the short word for an error of this package in metric labels and
// audit records: "no_token", "no_keys", the reason of a bad token, "error" for
// any other error, and "" for nil.
func Reason(err error) string {
	var b *badToken
	switch {
	case err == nil:
		return ""
	case errors.As(err, &b):
		return b.reason
	case errors.Is(err, ErrNoToken):
		return "no_token"
	case errors.Is(err, ErrNoKeys):
		return "no_keys"
	}
	return "error"
}

// Genuine reports whether the error is about a token whose signature verified, and which
// was good before: its bearer guesses at nothing.
func Genuine(err error) bool {
	reason := Reason(err)
	return reason == reasonExpired || reason == reasonRevoked
}
