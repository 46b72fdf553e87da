package identity

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// SignerOptions configure [NewSigner]. Zero values take the package's
// defaults; Keys is required.
type SignerOptions struct {
	Keys     *Keys
	Issuer   string
	Audience string
	TTL      time.Duration // at least 2 s, since times are whole seconds; see VerifierOptions.MaxTTL
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

	mu         sync.Mutex        // guards what follows; not held while signing
	start      time.Time         // of the half TTL that the statements are of
	statements map[caller]string // nil at first
}

// maxStatements bounds what is remembered; beyond it every request is signed for
// itself.
const maxStatements = 1 << 18

// caller is a user of a tenant, or with neither user nor roles the tenant itself.
type caller struct {
	tenant      *tenant.Tenant
	user, roles string
}

// NewSigner returns a signer that uses the first of the keys.
func NewSigner(o SignerOptions) (*Signer, error) {
	o.TTL = cmp.Or(o.TTL, DefaultTTL)
	if o.TTL < 2*time.Second {
		return nil, fmt.Errorf("making an identity signer: life %v is too short; expected at least 2s", o.TTL)
	}
	if o.Keys == nil || len(o.Keys.signing) == 0 {
		return nil, errors.New("making an identity signer: no key")
	}
	key := o.Keys.signing[0]
	return &Signer{
		issuer: cmp.Or(o.Issuer, DefaultIssuer), audience: cmp.Or(o.Audience, DefaultAudience),
		ttl: o.TTL, plan: o.DefaultPlan, key: key, header: key.header(Type), auditHeader: key.header(AuditType),
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
	// Requests at the same time may all sign, and make the same statement.
	who := caller{t, user, strings.Join(roles, "\x00")}
	start, token := s.find(who, now)
	if token != "" {
		return token, nil
	}
	token, err := s.compact(s.header, payload{
		stamp: s.stamp(start), Tenant: t.Slug.String(), TenantID: t.ID, Plan: string(cmp.Or(t.Plan, s.plan)),
		User: user, Roles: roles,
	})
	if err != nil {
		return "", fmt.Errorf("signing an identity for %q: %w", t.Slug, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.start.Equal(start) && len(s.statements) < maxStatements {
		s.statements[who] = token
	}
	return token, nil
}

// find returns when the half TTL began that now falls into, and what was signed
// for the caller in it, or "". It begins a new one when the last is over or when
// the clock went back behind it.
func (s *Signer) find(who caller, now time.Time) (start time.Time, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.statements == nil || now.Before(s.start) || now.Sub(s.start) >= s.ttl/2 {
		s.start, s.statements = now, make(map[caller]string)
	}
	return s.start, s.statements[who]
}

func (s *Signer) stamp(issued time.Time) stamp {
	return stamp{Issuer: s.issuer, Audience: s.audience, IssuedAt: issued.Unix(), Expires: issued.Add(s.ttl).Unix()}
}

// compact is that of the key, for what a verifier reads.
func (s *Signer) compact(header string, claims any) (string, error) {
	token, err := s.key.compact(header, claims)
	if err == nil && len(token) > MaxTokenLen {
		err = fmt.Errorf("longer than %d bytes", MaxTokenLen)
	}
	return token, err
}

// SignJWT returns a compact JWS of any claims with the "typ" given, made with
// the first key. It is for an issuer of user tokens that keeps its keys in the
// same kind of file; typ must differ from [Type] and [AuditType].
func (k *Keys) SignJWT(typ string, claims any) (string, error) {
	if typ == Type || typ == AuditType || typ == "" {
		return "", fmt.Errorf("signing a token: the type %q is not for this use", typ)
	}
	key := k.signing[0]
	return key.compact(key.header(typ), claims)
}

// header returns the encoded JOSE header with its dot.
func (k *signingKey) header(typ string) string {
	header := fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":%q}`, k.id, typ)
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "."
}

// compact returns header, payload and signature (RFC 7515, section 7.1). It is
// written out, since the JWT library would encode the constant header each time.
func (k *signingKey) compact(header string, claims any) (string, error) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // a name of such characters would be six times as long
	if err := encoder.Encode(claims); err != nil {
		return "", fmt.Errorf("encoding claims: %w", err)
	}
	input := header + base64.RawURLEncoding.EncodeToString(bytes.TrimSuffix(body.Bytes(), []byte("\n")))
	return input + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(k.private, []byte(input))), nil
}
