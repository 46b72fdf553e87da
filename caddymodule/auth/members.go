package auth

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Member reports whether the token is a good one of the tenant's own issuer. It
// is for requests that are refused in any case, so that a suspended tenant's
// users may be told why; t is nil when there is no such tenant.
//
// How long it takes depends on the token and not on the tenant, or a stranger
// could tell a suspended tenant from none: the issuer is the one that the token
// names, one signature is checked whatever becomes of it, and nothing is waited
// for. Keys that are not in memory are fetched for the next time.
func (i *Issuers) Member(t *tenant.Tenant, token string, now time.Time) bool {
	if len(token) > i.maxTokenBytes() {
		return false
	}
	issuer := claimedIssuer(token)
	if issuer == "" {
		spend(token)
		return false
	}
	ours := t != nil && t.Issuer == issuer && t.JWKS != ""
	if ours {
		_, _ = i.ownOf(t) // a fault of the record: the answer is no
	}
	own := i.issuedBy(issuer, t)
	if own == nil {
		spend(token)
		return false
	}
	p, err := own.quiet.Verify(context.Background(), token, now) // it never waits
	if unsigned(err) {
		spend(token)
	}
	return err == nil && ours && p.BelongsTo(t.Slug)
}

func (i *Issuers) maxTokenBytes() int {
	o := i.o.Own
	o.setDefaults()
	return o.MaxTokenBytes
}

// issuedBy returns the open issuer of that name: of t, if it is open, or of
// anybody.
func (i *Issuers) issuedBy(issuer string, t *tenant.Tenant) (found *ownIssuer) {
	i.own.Range(func(k, v any) bool {
		name := k.(ownName)
		if name.issuer != issuer {
			return true
		}
		found = v.(*ownIssuer)
		return t == nil || name.slug != t.Slug || name.jwks != t.JWKS
	})
	return found
}

// claimedIssuer is the iss that a token says it has. Nothing is believed of it:
// a verifier reads the token again, strictly.
func claimedIssuer(token string) string {
	_, rest, _ := strings.Cut(token, ".")
	body, _, _ := strings.Cut(rest, ".")
	payload, ok := decodeSegment(body)
	var claims struct {
		Issuer string `json:"iss"`
	}
	if !ok || json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Issuer
}

// unsigned reports whether a token was refused before its signature was looked
// at.
func unsigned(err error) bool {
	return slices.Contains([]string{reasonMalformed, reasonTooLong, reasonHeader, reasonAlgorithm, reasonKey, "no_keys"}, Reason(err))
}

// quietKeys are keys that are never fetched for a token.
type quietKeys struct{ KeySource }

// Renew implements [KeySource].
func (q quietKeys) Renew(context.Context) *KeySet { return q.Keys() }
