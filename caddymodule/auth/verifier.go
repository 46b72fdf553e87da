package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Options shape a [Verifier]. Zero values mean the defaults given.
type Options struct {
	// Keys is where the keys come from; required.
	Keys KeySource
	// Algorithms are those that are believed, such as "ES256". Empty: every
	// one that the type of the key itself permits, never "none".
	Algorithms []string
	// Issuer must be the token's iss. Empty: any, or none.
	Issuer string
	// Audience must be the token's aud or one of them. Empty: any, which is safe
	// only if the issuer's tokens are for nobody else.
	Audience string
	// Leeway is how far the clocks of issuer and gateway may be apart: 30
	// seconds. Negative: none.
	Leeway time.Duration
	// TenantClaim holds the slug of the caller's tenant or an array of slugs:
	// "tenant".
	TenantClaim string
	// Tenant, when set, is the tenant of every token, whatever it claims: for
	// an issuer that belongs to one tenant.
	Tenant tenant.Slug
	// RolesClaim holds a role or an array of roles: "roles". In "scope" and "scp"
	// blanks separate them.
	RolesClaim string
	// MaxLifetime is the longest time from a token's iat to its exp, or from now
	// where it has no iat: 24 hours. A stolen token is of use for that long.
	// Negative: any.
	MaxLifetime time.Duration
	// CacheSize is how many verified tokens are remembered: 16384. Negative:
	// none.
	CacheSize int
	// Denied, when set, names tokens that were revoked before their time.
	Denied DenyList
}

func (o *Options) setDefaults() {
	o.Leeway = max(cmp.Or(o.Leeway, 30*time.Second), 0)
	o.TenantClaim = cmp.Or(o.TenantClaim, "tenant")
	o.RolesClaim = cmp.Or(o.RolesClaim, "roles")
	o.MaxLifetime = cmp.Or(o.MaxLifetime, 24*time.Hour)
	o.CacheSize = cmp.Or(o.CacheSize, 16384)
}

// Verifier verifies bearer tokens of one issuer. It is safe for concurrent use
// and does no I/O of its own; its [KeySource] may, see [Verifier.Verify].
type Verifier struct {
	o     Options
	cache cache
}

// maxTokenBytes is the length of the longest token that is read.
const maxTokenBytes = 8192

// NewVerifier returns a verifier. It errs without keys, with an algorithm that
// is not known and with a reserved claim as the tenant's or the roles'.
func NewVerifier(o Options) (*Verifier, error) {
	if o.Keys == nil {
		return nil, errors.New("making a token verifier: no keys")
	}
	for _, alg := range o.Algorithms {
		if methods[alg] == nil {
			return nil, fmt.Errorf("making a token verifier: unknown algorithm %q; expected one of %v", alg, slices.Sorted(maps.Keys(methods)))
		}
	}
	o.setDefaults()
	for _, claim := range []string{o.TenantClaim, o.RolesClaim} {
		if slices.Contains([]string{"iss", "aud", "exp", "nbf", "iat", "jti"}, claim) {
			return nil, fmt.Errorf("making a token verifier: the claim %q has another meaning", claim)
		}
	}
	return &Verifier{o: o, cache: cache{most: o.CacheSize / 2}}, nil
}

// Verify returns the caller of a token that is signed by one of the keys with
// an allowed algorithm, in time, of the expected issuer and for the expected
// audience, not denied, and of at least one tenant.
//
// Errors wrap [ErrBadToken], or [ErrNoKeys] when no key has been loaded yet.
// Only a token that names an unknown key may make Verify wait, for the key
// source and until ctx ends.
func (v *Verifier) Verify(ctx context.Context, token string, now time.Time) (Principal, error) {
	if len(token) > maxTokenBytes {
		return Principal{}, bad(reasonTooLong, "longer than %d bytes", maxTokenBytes)
	}
	hash := sha256.Sum256([]byte(token))
	if known := v.cache.get(hash); known != nil {
		if set := v.o.Keys.Keys(); set != nil && set.has(known.key) && v.admit(&known.principal, now) == nil {
			return known.principal, nil
		}
		v.cache.drop(hash) // what is wrong with it now is found below
	}
	payload, key, err := v.open(ctx, token)
	if err != nil {
		return Principal{}, err
	}
	p, err := v.parseClaims(payload)
	if err == nil {
		err = v.admit(&p, now)
	}
	if err != nil {
		return Principal{}, err
	}
	// Not before it is in time: a token that is not, and is asked for again and
	// again, must not push out those that are.
	v.cache.put(hash, &verified{principal: p, key: key})
	return p, nil
}

// open checks a compact JWS (RFC 7515, section 5.2) and returns its payload.
// The payload is decoded only after the signature is found good.
func (v *Verifier) open(ctx context.Context, token string) ([]byte, *Key, error) {
	head, rest, _ := strings.Cut(token, ".")
	body, sig, ok := strings.Cut(rest, ".")
	headJSON, ok1 := decodeSegment(head)
	signature, ok2 := decodeSegment(sig)
	if !ok || !ok1 || !ok2 || head == "" || sig == "" {
		return nil, nil, bad(reasonMalformed, "expected header, payload and signature in base64url")
	}
	h, err := parseHeader(headJSON)
	if err != nil {
		return nil, nil, err
	}
	method := methods[h.alg]
	if method == nil || (len(v.o.Algorithms) > 0 && !slices.Contains(v.o.Algorithms, h.alg)) {
		return nil, nil, bad(reasonAlgorithm, "the algorithm is not allowed")
	}
	key, err := v.key(ctx, h)
	if err != nil {
		return nil, nil, err
	}
	if !slices.Contains(key.algs, h.alg) {
		return nil, nil, bad(reasonAlgorithm, "the algorithm is not the key's")
	}
	if method.Verify(token[:len(head)+1+len(body)], signature, key.material) != nil {
		return nil, nil, bad(reasonSignature, "the signature is not the key's")
	}
	payload, ok := decodeSegment(body)
	if !ok {
		return nil, nil, bad(reasonMalformed, "the payload is not base64url")
	}
	return payload, key, nil
}

// key finds the key a header means, and has the source read again if it is not
// there.
func (v *Verifier) key(ctx context.Context, h header) (*Key, error) {
	set := v.o.Keys.Keys()
	for range 2 {
		if set != nil {
			key, err := set.find(h.kid, h.alg)
			if key != nil || err != nil {
				return key, err
			}
		}
		renewed := v.o.Keys.Renew(ctx)
		if renewed == set {
			break
		}
		set = renewed
	}
	if set == nil {
		return nil, ErrNoKeys
	}
	return nil, bad(reasonKey, "no key fits")
}
