package identity

import (
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The JWT library asks claims for these. Validation is the verifier's own, in
// Verify, so they only satisfy the interface.

func (p *payload) GetExpirationTime() (*jwt.NumericDate, error) {
	return jwt.NewNumericDate(time.Unix(p.Expires, 0)), nil
}

func (p *payload) GetIssuedAt() (*jwt.NumericDate, error) {
	return jwt.NewNumericDate(time.Unix(p.IssuedAt, 0)), nil
}

func (p *payload) GetNotBefore() (*jwt.NumericDate, error) { return nil, nil }

func (p *payload) GetIssuer() (string, error) { return p.Issuer, nil }

func (p *payload) GetSubject() (string, error) { return p.User, nil }

func (p *payload) GetAudience() (jwt.ClaimStrings, error) {
	return jwt.ClaimStrings{p.Audience}, nil
}

var _ jwt.Claims = (*payload)(nil)
