// Package identity makes and checks the one thing a backend has to trust: a
// short-lived signed statement of which tenant a request belongs to.
//
// The statement is a compact JWS (RFC 7515) in the header "Tenant-Identity",
// signed with Ed25519 (RFC 8037). Its claims are
//
//	iss        who signed it, "caddy-tenancy" unless configured
//	aud        whom it is for; a backend refuses another audience
//	iat, exp   seconds since 1970; they lie seconds apart
//	tenant     the slug
//	tenant_id  the record's key in the catalog
//	plan       the plan's name
//
// and its header always has "alg":"EdDSA", "typ":"tenant-identity+jwt" (so that
// no other token signed by the same key can pass for one: RFC 8725, section
// 3.11) and a "kid" that is the key's RFC 7638 thumbprint.
//
// The same key also signs what the gateway delivers to a backend's audit log:
// a statement in the header "Tenant-Audit" with "typ":"tenant-audit+jwt" and the
// claims iss, aud, iat and exp as above, and
//
//	body_sha256  SHA-256 of the request's body, in lower-case hexadecimal
//
// Neither can stand for the other, since their types differ.
//
// Both sides use this package, so that there is one implementation of signing,
// one of verifying and one of removing what a client sent under these names.
package identity

import (
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// The headers that only the gateway may set.
const (
	HeaderName   = "Tenant-Identity" // the signed statement
	HeaderTenant = "X-Tenant-Id"     // the slug, for people and logs; net/http's spelling of X-Tenant-ID
	HeaderPlan   = "X-Tenant-Plan"   // the plan's name, likewise
	HeaderAudit  = "Tenant-Audit"    // the signature of a delivery of audit records
)

// Defaults of both sides.
const (
	DefaultIssuer   = "caddy-tenancy"
	DefaultAudience = "petstore"
	DefaultTTL      = 30 * time.Second
	DefaultLeeway   = 5 * time.Second
	DefaultMaxTTL   = 10 * time.Minute // the longest life that a verifier believes
)

// Type is the "typ" of every statement of a tenant, AuditType that of every
// signature of a delivery.
const (
	Type      = "tenant-identity+jwt"
	AuditType = "tenant-audit+jwt"
)

// MaxTokenLen is the longest statement in bytes that is read.
const MaxTokenLen = 4096

// ErrUnverified is the error of every statement that cannot be believed. The
// wrapped text says why, for a log; it is not for the sender.
var ErrUnverified = errors.New("identity not verified")

// Claims is what a verified statement says.
type Claims struct {
	Tenant   tenant.Slug
	TenantID string
	Plan     tenant.Plan
	Issuer   string
	Audience string
	IssuedAt time.Time
	Expires  time.Time
	// User and Roles are empty unless the gateway authenticated a person.
	User  string
	Roles []string
}

// stamp is what every statement says of itself. Times are whole seconds.
type stamp struct {
	// The JWT library asks claims for methods. Verify makes its own checks, so
	// these methods answer for nothing and their fields stay empty.
	jwt.RegisteredClaims `json:"-"`

	Issuer   string `json:"iss"`
	Audience string `json:"aud"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
}

// payload is the body of a statement of a tenant.
type payload struct {
	stamp
	Tenant   string   `json:"tenant"`
	TenantID string   `json:"tenant_id"`
	Plan     string   `json:"plan,omitempty"`
	User     string   `json:"sub,omitempty"`
	Roles    []string `json:"roles,omitempty"`
}

// auditPayload is what the signature of a delivery says.
type auditPayload struct {
	stamp
	BodySHA256 string `json:"body_sha256"`
}
