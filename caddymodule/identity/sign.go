package identity

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// SignerOptions configure [NewSigner]. Zero values take the package's
// defaults; Keys is required.
type SignerOptions struct {
	Keys     *Keys
	Issuer   string
	Audience string
	TTL      time.Duration // at least 2 s, since times are whole seconds
	// DefaultPlan stands for the plan of tenants whose record names none.
	DefaultPlan tenant.Plan
}

// Signer makes statements. It signs once per tenant and half a TTL and gives
// the same statement to every request in between, so that signing costs a
// request one map look-up. It is safe for concurrent use.
type Signer struct {
	issuer, audience string
	ttl              time.Duration
	plan             tenant.Plan
	key              signingKey
	header           string // encoded, with its dot
	auditHeader      string // likewise, of deliveries
	current          atomic.Pointer[generation]
}

// generation holds the statements of one half TTL and is dropped whole.
type generation struct {
	start      time.Time
	statements sync.Map // *tenant.Tenant or caller -> *statement
	size       atomic.Int64
}

// maxStatements bounds a generation; beyond it every request is signed for
// itself.
const maxStatements = 1 << 18

// caller is a user of a tenant.
type caller struct {
	tenant      *tenant.Tenant
	user, roles string
}

type statement struct {
	once  sync.Once
	token string
	err   error
}

// NewSigner returns a signer that uses the first of the keys.
func NewSigner(o SignerOptions) (*Signer, error) {
	if o.Issuer == "" {
		o.Issuer = DefaultIssuer
	}
	if o.Audience == "" {
		o.Audience = DefaultAudience
	}
	if o.TTL == 0 {
		o.TTL = DefaultTTL
	}
	if o.TTL < 2*time.Second {
		return nil, fmt.Errorf("making an identity signer: life %v is too short; expected at least 2s", o.TTL)
	}
	if o.Keys == nil || len(o.Keys.signing) == 0 {
		return nil, errors.New("making an identity signer: no key")
	}
	key := o.Keys.signing[0]
	header, err := key.header(Type)
	if err != nil {
		return nil, fmt.Errorf("making an identity signer: %w", err)
	}
	auditHeader, err := key.header(AuditType)
	if err != nil {
		return nil, fmt.Errorf("making an identity signer: %w", err)
	}
	return &Signer{
		issuer: o.Issuer, audience: o.Audience, ttl: o.TTL, plan: o.DefaultPlan, key: key,
		header: header, auditHeader: auditHeader,
	}, nil
}

// Sign returns the statement for t: one that was issued at most half a TTL
// before now and so is good for at least the other half. Tenants are told
// apart by pointer: a changed record is another pointer and gets a new
// statement at once.
func (s *Signer) Sign(t *tenant.Tenant, now time.Time) (string, error) {
	return s.SignUser(t, "", nil, now)
}

// SignUser is Sign for a request of an authenticated user with these roles.
func (s *Signer) SignUser(t *tenant.Tenant, user string, roles []string, now time.Time) (string, error) {
	if t == nil || t.Slug.IsZero() {
		return "", errors.New("signing an identity: no tenant")
	}
	g := s.generation(now)
	st, ok := g.find(t, user, roles)
	if !ok {
		st = new(statement) // the generation is full: this one is used once
	}
	st.once.Do(func() {
		plan := t.Plan
		if plan == "" {
			plan = s.plan
		}
		st.token, st.err = s.sign(payload{
			Issuer: s.issuer, Audience: s.audience,
			IssuedAt: g.start.Unix(), Expires: g.start.Add(s.ttl).Unix(),
			Tenant: t.Slug.String(), TenantID: t.ID, Plan: string(plan),
			User: user, Roles: roles,
		})
	})
	return st.token, st.err
}

// find returns the generation's statement for the caller, new or not, or false
// if there is no room for a new one.
func (g *generation) find(t *tenant.Tenant, user string, roles []string) (*statement, bool) {
	// A tenant's own statement is found by pointer alone, without allocation.
	var key any = t
	if user != "" || len(roles) > 0 {
		key = caller{t, user, strings.Join(roles, "\x00")}
	}
	if v, ok := g.statements.Load(key); ok {
		return v.(*statement), true
	}
	if g.size.Add(1) > maxStatements {
		return nil, false
	}
	v, _ := g.statements.LoadOrStore(key, new(statement))
	return v.(*statement), true
}

// generation returns the one that now falls into, and begins a new one when
// the last is over or when the clock went back behind it.
func (s *Signer) generation(now time.Time) *generation {
	for {
		g := s.current.Load()
		if g != nil {
			if age := now.Sub(g.start); age >= 0 && age < s.ttl/2 {
				return g
			}
		}
		if next := (&generation{start: now}); s.current.CompareAndSwap(g, next) {
			return next
		}
	}
}

// sign encodes and signs one payload. The encoding is written out, since the
// JWT library would encode the constant header for every statement.
func (s *Signer) sign(p payload) (string, error) {
	token, err := s.key.compact(s.header, p)
	if err == nil && len(token) > MaxTokenLen {
		err = fmt.Errorf("longer than %d bytes", MaxTokenLen)
	}
	if err != nil {
		return "", fmt.Errorf("signing an identity for %q: %w", p.Tenant, err)
	}
	return token, nil
}

// SignJWT returns a compact JWS of any claims with the "typ" given, made with
// the first key. It is for an issuer of user tokens that keeps its keys in the
// same kind of file; typ must differ from [Type] and [AuditType].
func (k *Keys) SignJWT(typ string, claims any) (string, error) {
	if typ == Type || typ == AuditType || typ == "" {
		return "", fmt.Errorf("signing a token: the type %q is not for this use", typ)
	}
	key := k.signing[0]
	header, err := key.header(typ)
	if err != nil {
		return "", err
	}
	return key.compact(header, claims)
}

// header returns the encoded JOSE header with its dot.
func (k *signingKey) header(typ string) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": jwt.SigningMethodEdDSA.Alg(), "kid": k.id, "typ": typ})
	if err != nil {
		return "", fmt.Errorf("encoding a token's header: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(header) + ".", nil
}

// compact returns header, payload and signature (RFC 7515, section 7.1).
func (k *signingKey) compact(header string, claims any) (string, error) {
	body, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encoding claims: %w", err)
	}
	input := header + base64.RawURLEncoding.EncodeToString(body)
	return input + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(k.private, []byte(input))), nil
}
