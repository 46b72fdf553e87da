package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
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
	// Audience must be the token's aud or one of them. Empty: not looked at,
	// which is safe only if the issuer's tokens are for nobody else.
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
	// RolesClaim holds a role or an array of roles: "roles".
	RolesClaim string
	// MaxTokenBytes is the longest token that is looked at: 8192.
	MaxTokenBytes int
	// CacheSize is how many verified tokens are remembered: 16384. Negative:
	// none.
	CacheSize int
	// Denied, when set, names tokens that were revoked before their time.
	Denied DenyList
}

func (o *Options) setDefaults() {
	if o.Leeway == 0 {
		o.Leeway = 30 * time.Second
	}
	o.Leeway = max(o.Leeway, 0)
	if o.TenantClaim == "" {
		o.TenantClaim = "tenant"
	}
	if o.RolesClaim == "" {
		o.RolesClaim = "roles"
	}
	if o.MaxTokenBytes <= 0 {
		o.MaxTokenBytes = 8192
	}
	if o.CacheSize == 0 {
		o.CacheSize = 16384
	}
}

// Verifier verifies bearer tokens of one issuer. It is safe for concurrent use
// and does no I/O of its own; its [KeySource] may, see [Verifier.Verify].
type Verifier struct {
	o     Options
	cache *cache // nil without one

	hits, misses atomic.Int64
}

// NewVerifier returns a verifier. It errs without keys, with an algorithm that
// is not known and with a reserved claim as the tenant's or the roles'.
func NewVerifier(o Options) (*Verifier, error) {
	if o.Keys == nil {
		return nil, errors.New("making a token verifier: no keys")
	}
	if err := checkAlgorithms(o.Algorithms); err != nil {
		return nil, fmt.Errorf("making a token verifier: %w", err)
	}
	o.setDefaults()
	for _, claim := range []string{o.TenantClaim, o.RolesClaim} {
		if slices.Contains([]string{"iss", "aud", "exp", "nbf", "iat", "jti"}, claim) {
			return nil, fmt.Errorf("making a token verifier: the claim %q has another meaning", claim)
		}
	}
	v := &Verifier{o: o}
	if o.CacheSize > 0 {
		v.cache = newCache(o.CacheSize)
	}
	return v, nil
}

// Verify returns the caller of a token that is signed by one of the keys with
// an allowed algorithm, in time, of the expected issuer and for the expected
// audience, not denied, and of at least one tenant.
//
// Errors wrap [ErrBadToken], or [ErrNoKeys] when no key has been loaded yet.
// Only a token that names an unknown key may make Verify wait, for the key
// source and until ctx ends.
func (v *Verifier) Verify(ctx context.Context, token string, now time.Time) (Principal, error) {
	if len(token) > v.o.MaxTokenBytes {
		return Principal{}, bad(reasonTooLong, "longer than %d bytes", v.o.MaxTokenBytes)
	}
	if v.cache == nil {
		return v.fresh(ctx, token, now, nil)
	}
	hash := sha256.Sum256([]byte(token))
	entry := v.cache.get(hash)
	if entry == nil || !v.stillKnown(hash, entry) {
		v.misses.Add(1)
		return v.fresh(ctx, token, now, &hash)
	}
	v.hits.Add(1)
	if err := v.admit(&entry.principal, now); err != nil {
		if Reason(err) == reasonExpired {
			v.cache.drop(hash)
		}
		return Principal{}, err
	}
	return entry.principal, nil
}

// fresh verifies a token and remembers it under the hash, if there is one, but
// not before it is in time: one that is not, and asked for again and again,
// must not push out those that are.
func (v *Verifier) fresh(ctx context.Context, token string, now time.Time, hash *tokenHash) (Principal, error) {
	entry, err := v.verify(ctx, token)
	if err != nil {
		return Principal{}, err
	}
	if err := v.admit(&entry.principal, now); err != nil {
		return Principal{}, err
	}
	if hash != nil {
		v.cache.put(*hash, entry)
	}
	return entry.principal, nil
}

// stillKnown reports whether the key of a remembered token is still one of the
// keys, and forgets the token if not.
func (v *Verifier) stillKnown(hash tokenHash, entry *verified) bool {
	set := v.o.Keys.Keys()
	switch {
	case set == entry.set:
		return true
	case set != nil && set.has(entry.key):
		moved := *entry // entries are shared; never change one
		moved.set = set
		v.cache.put(hash, &moved)
		return true
	}
	v.cache.drop(hash)
	return false
}

// admit makes the checks whose answer changes with time.
func (v *Verifier) admit(p *Principal, now time.Time) error {
	if err := p.inTime(now, v.o.Leeway); err != nil {
		return err
	}
	if v.o.Denied != nil && v.o.Denied.Denied(p) {
		return bad(reasonRevoked, "the token or its subject is on the deny list")
	}
	return nil
}

// verify does everything that does not depend on the time.
func (v *Verifier) verify(ctx context.Context, token string) (*verified, error) {
	payload, key, set, err := v.open(ctx, token)
	if err != nil {
		return nil, err
	}
	p, err := v.parseClaims(payload)
	if err != nil {
		return nil, err
	}
	p.KeyID = key.id
	return &verified{principal: p, key: key, set: set}, nil
}

// open checks a compact JWS (RFC 7515, section 5.2) and returns its payload.
// The payload is decoded only after the signature is found good.
func (v *Verifier) open(ctx context.Context, token string) ([]byte, *Key, *KeySet, error) {
	fail := func(reason, text string) ([]byte, *Key, *KeySet, error) {
		return nil, nil, nil, bad(reason, "%s", text)
	}
	head, rest, _ := strings.Cut(token, ".")
	body, sig, ok := strings.Cut(rest, ".")
	headJSON, ok1 := decodeSegment(head)
	signature, ok2 := decodeSegment(sig)
	if !ok || !ok1 || !ok2 || head == "" || sig == "" {
		return fail(reasonMalformed, "expected header, payload and signature in base64url")
	}
	h, err := parseHeader(headJSON)
	if err != nil {
		return nil, nil, nil, err
	}
	method := methods[h.alg]
	if method == nil || (len(v.o.Algorithms) > 0 && !slices.Contains(v.o.Algorithms, h.alg)) {
		return fail(reasonAlgorithm, "the algorithm is not allowed")
	}
	key, set, err := v.key(ctx, h)
	if err != nil {
		return nil, nil, nil, err
	}
	if !slices.Contains(key.algs, h.alg) {
		return fail(reasonAlgorithm, "the algorithm is not the key's")
	}
	if err := method.Verify(token[:len(head)+1+len(body)], signature, key.material); err != nil {
		return fail(reasonSignature, "the signature is not the key's")
	}
	payload, ok := decodeSegment(body)
	if !ok {
		return fail(reasonMalformed, "the payload is not base64url")
	}
	return payload, key, set, nil
}

// key finds the key a header means, and has the source look again if it is not
// there.
func (v *Verifier) key(ctx context.Context, h header) (*Key, *KeySet, error) {
	set := v.o.Keys.Keys()
	for range 2 {
		if set != nil {
			key, err := set.find(h.kid, h.alg)
			if err != nil {
				return nil, nil, bad(reasonKey, "%v", err)
			}
			if key != nil {
				return key, set, nil
			}
		}
		renewed := v.o.Keys.Renew(ctx)
		if renewed == set {
			break
		}
		set = renewed
	}
	if set == nil {
		return nil, nil, ErrNoKeys
	}
	return nil, nil, bad(reasonKey, "no key fits")
}

// Stats are counts since the verifier was made.
type Stats struct {
	Hits, Misses int64 // verifications answered by the cache, and others
	Cached       int   // tokens remembered now
}

// Stats returns the counts so far.
func (v *Verifier) Stats() Stats {
	s := Stats{Hits: v.hits.Load(), Misses: v.misses.Load()}
	if v.cache != nil {
		s.Cached = v.cache.len()
	}
	return s
}
