package identity

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// VerifierOptions configure [NewVerifier]. Zero values take the package's
// defaults; Keys is required.
type VerifierOptions struct {
	// Keys returns the JWK set as it is now. It is asked at the first
	// statement and again when one names an unknown key, at most once a second;
	// an error keeps the keys that are known.
	Keys     func() ([]byte, error)
	Audience string
	Issuer   string
	Leeway   time.Duration // how far the clocks of both sides may be apart
}

// Verifier checks statements. It is safe for concurrent use, and remembers a
// bounded number of verified ones, since a gateway repeats a statement for
// seconds: a repeated one costs a map look-up.
type Verifier struct {
	load             func() ([]byte, error)
	audience, issuer string
	leeway           time.Duration
	parser           *jwt.Parser

	keys    atomic.Pointer[keySet]
	mu      sync.Mutex // serialises load
	tried   time.Time  // guarded by mu
	known   sync.Map   // token -> Claims
	knownN  atomic.Int64
	sweepMu sync.Mutex
}

// maxKnown bounds the remembered statements; at the bound all are forgotten
// and each costs one signature check again.
const maxKnown = 16384

// The JWK set is read again when it is older than rereadAfter, so that a
// withdrawn key stops; an unknown key has it read at most every reloadEvery.
const (
	rereadAfter = 10 * time.Second
	reloadEvery = time.Second
)

// keySet is one reading of the JWK set.
type keySet struct {
	byID map[string]ed25519.PublicKey
	read time.Time
}

// FileKeys reads a JWK set from a file, for [VerifierOptions].
func FileKeys(path string) func() ([]byte, error) {
	return func() ([]byte, error) { return os.ReadFile(path) }
}

// NewVerifier returns a verifier. It does not read the keys yet.
func NewVerifier(o VerifierOptions) *Verifier {
	if o.Issuer == "" {
		o.Issuer = DefaultIssuer
	}
	if o.Audience == "" {
		o.Audience = DefaultAudience
	}
	if o.Leeway == 0 {
		o.Leeway = DefaultLeeway
	}
	return &Verifier{
		load: o.Keys, audience: o.Audience, issuer: o.Issuer, leeway: o.Leeway,
		parser: jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
			jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation()),
	}
}

// Verify returns what the statement says if it is signed by a known key, for
// this audience, by the expected issuer, and neither expired nor from the
// future at now. Every other case is an error that wraps [ErrUnverified].
func (v *Verifier) Verify(token string, now time.Time) (Claims, error) {
	if c, ok := v.known.Load(token); ok {
		claims := c.(Claims)
		if err := v.inTime(claims.IssuedAt, claims.Expires, now); err != nil {
			return Claims{}, err
		}
		return claims, nil
	}
	claims, err := v.verify(token, now)
	if err != nil {
		return Claims{}, err
	}
	v.remember(token, claims)
	return claims, nil
}

func (v *Verifier) verify(token string, now time.Time) (Claims, error) {
	var p payload
	if err := v.parse(token, Type, &p, now); err != nil {
		return Claims{}, err
	}
	claims := Claims{
		TenantID: p.TenantID, Issuer: p.Issuer, Audience: p.Audience,
		IssuedAt: time.Unix(p.IssuedAt, 0), Expires: time.Unix(p.Expires, 0),
		User: p.User, Roles: p.Roles,
	}
	if err := v.meant(claims.Issuer, claims.Audience); err != nil {
		return Claims{}, err
	}
	var err error
	if claims.Tenant, err = tenant.ParseSlug(p.Tenant); err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrUnverified, err)
	}
	if p.Plan != "" {
		if claims.Plan, err = tenant.ParsePlan(p.Plan); err != nil {
			return Claims{}, fmt.Errorf("%w: %w", ErrUnverified, err)
		}
	}
	return claims, v.inTime(claims.IssuedAt, claims.Expires, now)
}

// parse checks the form, the type and the signature of a token and reads its
// claims into p.
func (v *Verifier) parse(token, typ string, p jwt.Claims, now time.Time) error {
	if len(token) > MaxTokenLen {
		return fmt.Errorf("%w: longer than %d bytes", ErrUnverified, MaxTokenLen)
	}
	// encoding/base64 passes over line breaks, also when strict.
	if strings.ContainsAny(token, "\r\n") {
		return fmt.Errorf("%w: line break", ErrUnverified)
	}
	_, err := v.parser.ParseWithClaims(token, p, func(t *jwt.Token) (any, error) {
		if t.Header["typ"] != typ {
			return nil, errors.New("typ is not " + typ)
		}
		if _, there := t.Header["crit"]; there {
			return nil, errors.New("crit is not understood")
		}
		id, _ := t.Header["kid"].(string)
		return v.key(id, now)
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnverified, err)
	}
	return nil
}

// meant checks who signed and for whom.
func (v *Verifier) meant(issuer, audience string) error {
	switch {
	case issuer != v.issuer:
		return fmt.Errorf("%w: another issuer", ErrUnverified)
	case audience != v.audience:
		return fmt.Errorf("%w: another audience", ErrUnverified)
	}
	return nil
}

// inTime checks issue and expiry; a statement without either time says 1970.
func (v *Verifier) inTime(issued, expires, now time.Time) error {
	switch {
	case !now.Before(expires.Add(v.leeway)):
		return fmt.Errorf("%w: expired", ErrUnverified)
	case issued.After(now.Add(v.leeway)):
		return fmt.Errorf("%w: issued in the future", ErrUnverified)
	case issued.Unix() <= 0:
		return fmt.Errorf("%w: not dated", ErrUnverified)
	}
	return nil
}

// key returns the key of that id. It reads the JWK set again if the key is
// unknown, and if the last reading is too old to know of a withdrawn key; a
// failing source keeps what is known.
func (v *Verifier) key(id string, now time.Time) (ed25519.PublicKey, error) {
	if set := v.keys.Load(); set != nil {
		if age := now.Sub(set.read); age >= 0 && age < rereadAfter {
			if key, ok := set.byID[id]; ok {
				return key, nil
			}
		}
	}
	err := v.reload(now)
	if set := v.keys.Load(); set != nil {
		if key, ok := set.byID[id]; ok {
			return key, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return nil, errors.New("unknown key")
}

// reload reads the JWK set, unless somebody did so less than reloadEvery ago.
func (v *Verifier) reload(now time.Time) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if since := now.Sub(v.tried); !v.tried.IsZero() && since >= 0 && since < reloadEvery {
		return nil
	}
	v.tried = now
	data, err := v.load()
	if err != nil {
		return fmt.Errorf("reading the keys: %w", err)
	}
	keys, err := parseJWKS(data)
	if err != nil {
		return err
	}
	// A key that was withdrawn must stop at once, also for statements that were
	// verified with it.
	v.keys.Store(&keySet{keys, now})
	v.forget()
	return nil
}

func (v *Verifier) remember(token string, c Claims) {
	if v.knownN.Add(1) > maxKnown {
		v.forget()
		v.knownN.Add(1)
	}
	v.known.Store(token, c)
}

func (v *Verifier) forget() {
	v.sweepMu.Lock()
	defer v.sweepMu.Unlock()
	v.known.Clear()
	v.knownN.Store(0)
}
