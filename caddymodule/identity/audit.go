package identity

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// auditPayload is what the signature of a delivery says.
type auditPayload struct {
	Issuer     string `json:"iss"`
	Audience   string `json:"aud"`
	IssuedAt   int64  `json:"iat"`
	Expires    int64  `json:"exp"`
	BodySHA256 string `json:"body_sha256"`
}

// SignAudit returns the value of [HeaderAudit] for a delivery of this body. It
// signs anew at each call: bodies differ.
func (s *Signer) SignAudit(body []byte, now time.Time) (string, error) {
	token, err := s.key.compact(s.auditHeader, auditPayload{
		Issuer: s.issuer, Audience: s.audience,
		IssuedAt: now.Unix(), Expires: now.Add(s.ttl).Unix(),
		BodySHA256: bodySum(body),
	})
	if err == nil && len(token) > MaxTokenLen {
		err = fmt.Errorf("longer than %d bytes", MaxTokenLen)
	}
	if err != nil {
		return "", fmt.Errorf("signing a delivery: %w", err)
	}
	return token, nil
}

// VerifyAudit checks that the token was made for this body: signed by a known
// key as a delivery, for this audience, by the expected issuer, and neither
// expired nor from the future at now. Every other case is an error that wraps
// [ErrUnverified]. The same delivery may come again within its life: whoever
// takes records must know them by their ids.
func (v *Verifier) VerifyAudit(token string, body []byte, now time.Time) error {
	var p auditPayload
	if err := v.parse(token, AuditType, &p, now); err != nil {
		return err
	}
	if err := v.meant(p.Issuer, p.Audience); err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(p.BodySHA256), []byte(bodySum(body))) != 1 {
		return fmt.Errorf("%w: made for another body", ErrUnverified)
	}
	return v.inTime(time.Unix(p.IssuedAt, 0), time.Unix(p.Expires, 0), now)
}

func bodySum(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// The JWT library asks claims for these; see claims.go.

func (p *auditPayload) GetExpirationTime() (*jwt.NumericDate, error) {
	return jwt.NewNumericDate(time.Unix(p.Expires, 0)), nil
}

func (p *auditPayload) GetIssuedAt() (*jwt.NumericDate, error) {
	return jwt.NewNumericDate(time.Unix(p.IssuedAt, 0)), nil
}

func (p *auditPayload) GetNotBefore() (*jwt.NumericDate, error) { return nil, nil }

func (p *auditPayload) GetIssuer() (string, error) { return p.Issuer, nil }

func (p *auditPayload) GetSubject() (string, error) { return "", nil }

func (p *auditPayload) GetAudience() (jwt.ClaimStrings, error) {
	return jwt.ClaimStrings{p.Audience}, nil
}

var _ jwt.Claims = (*auditPayload)(nil)
