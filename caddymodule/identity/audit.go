package identity

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"time"
)

// SignAudit returns the value of [HeaderAudit] for a delivery of this body. It
// signs anew at each call: bodies differ.
func (s *Signer) SignAudit(body []byte, now time.Time) (string, error) {
	token, err := s.compact(s.auditHeader, auditPayload{s.stamp(now), bodySum(body)})
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
	if subtle.ConstantTimeCompare([]byte(p.BodySHA256), []byte(bodySum(body))) != 1 {
		return fmt.Errorf("%w: made for another body", ErrUnverified)
	}
	_, err := v.check(p.claims(), now)
	return err
}

func bodySum(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
