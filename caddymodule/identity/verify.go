package identity

import (
	"cmp"
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
	// MaxTTL is the longest life of a statement, and at least the signer's TTL.
	// A stolen one is of use for that long, whatever it says.
	MaxTTL time.Duration
}

// Verifier checks statements. It is safe for concurrent use. It remembers a
// bounded number of verified ones, since a gateway sends one statement with many
// requests: the second time it costs a map look-up.
type Verifier struct {
	load             func() ([]byte, error)
	audience, issuer string
	leeway, maxTTL   time.Duration
	parser           *jwt.Parser

	keys   atomic.Pointer[keySet]
	mu     sync.Mutex // serialises load
	tried  time.Time  // guarded by mu
	known  sync.Map   // token -> Claims
	knownN atomic.Int64
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
	v := &Verifier{
		load: o.Keys, audience: cmp.Or(o.Audience, DefaultAudience), issuer: cmp.Or(o.Issuer, DefaultIssuer),
		leeway: cmp.Or(o.Leeway, DefaultLeeway), maxTTL: cmp.Or(o.MaxTTL, DefaultMaxTTL),
		parser: jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
			jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation()),
	}
	v.keys.Store(new(keySet))
	return v
}

// Verify returns what the statement says if it is signed by a known key, for
// this audience, by the expected issuer, neither expired nor from the future at
// now, and short-lived. Every other case is an error that wraps [ErrUnverified].
func (v *Verifier) Verify(token string, now time.Time) (Claims, error) {
	if c, ok := v.known.Load(token); ok {
		return v.check(c.(Claims), now)
	}
	claims, err := v.read(token, now)
	if err == nil {
		claims, err = v.check(claims, now)
	}
	if err != nil {
		return Claims{}, err
	}
	if v.knownN.Add(1) > maxKnown {
		v.forget()
	}
	v.known.Store(token, claims)
	return claims, nil
}

// read returns what a signed statement says.
func (v *Verifier) read(token string, now time.Time) (Claims, error) {
	var p payload
	if err := v.parse(token, Type, &p, now); err != nil {
		return Claims{}, err
	}
	claims := p.claims()
	claims.TenantID, claims.User, claims.Roles = p.TenantID, p.User, p.Roles
	var err error
	if claims.Tenant, err = tenant.ParseSlug(p.Tenant); err == nil && p.Plan != "" {
		claims.Plan, err = tenant.ParsePlan(p.Plan)
	}
	if err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrUnverified, err)
	}
	return claims, nil
}

func (s *stamp) claims() Claims {
	return Claims{Issuer: s.Issuer, Audience: s.Audience, IssuedAt: time.Unix(s.IssuedAt, 0), Expires: time.Unix(s.Expires, 0)}
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

// check compares who signed, for whom and when with what is expected, and returns
// the claims if they are as they should be. Without a time they say 1970.
func (v *Verifier) check(c Claims, now time.Time) (Claims, error) {
	var wrong string
	switch {
	case c.Issuer != v.issuer:
		wrong = "another issuer"
	case c.Audience != v.audience:
		wrong = "another audience"
	case !now.Before(c.Expires.Add(v.leeway)):
		wrong = "expired"
	case c.IssuedAt.After(now.Add(v.leeway)):
		wrong = "issued in the future"
	case c.IssuedAt.Unix() <= 0:
		wrong = "not dated"
	case c.Expires.Sub(c.IssuedAt) > v.maxTTL+v.leeway:
		wrong = fmt.Sprintf("good for longer than %v", v.maxTTL)
	default:
		return c, nil
	}
	return Claims{}, fmt.Errorf("%w: %s", ErrUnverified, wrong)
}

// key returns the key of that id. It reads the JWK set again if the key is
// unknown, and if the last reading is too old to know of a withdrawn key; a
// failing source keeps what is known.
func (v *Verifier) key(id string, now time.Time) (ed25519.PublicKey, error) {
	set := v.keys.Load()
	var err error
	if age := now.Sub(set.read); age < 0 || age >= rereadAfter || set.byID[id] == nil {
		err = v.reload(now)
		set = v.keys.Load()
	}
	if key := set.byID[id]; key != nil {
		return key, nil
	}
	return nil, cmp.Or(err, errors.New("unknown key"))
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

func (v *Verifier) forget() {
	v.known.Clear()
	v.knownN.Store(0)
}
