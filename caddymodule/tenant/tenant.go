package tenant

import (
	"errors"
	"fmt"
)

// Tenant is one customer as the gateway sees it. Once it is in a snapshot it
// is never changed: a change is a new value in a new snapshot, so that a
// request may hold one without a lock.
type Tenant struct {
	// ID is the record's key in the catalog: opaque, never empty, and never
	// given to another tenant, also not when the slug is.
	ID string
	// Slug is the public name.
	Slug Slug
	// Name is for people; it may hold any text and is never compared.
	Name string
	// Plan names the plan whose limits apply.
	Plan Plan
	// Status says whether requests are served.
	Status Status
	// Hosts are the tenant's own domains in the form of [NormalizeHost].
	Hosts []string
	// Limits, when not empty, replaces the numbers of the plan: a list as in
	// "200/1h 10/1s".
	Limits string
	// Upstreams are the tenant's own backends in the form of [ParseUpstream];
	// none means the one that tenants share.
	Upstreams []string
	// Issuer and JWKS, both or none, name the tenant's own issuer of tokens: the
	// value of their "iss" and the URL of its keys. Then no other issuer's
	// tokens are for this tenant.
	Issuer, JWKS string
	// Fault, when not empty, says what is wrong with the record in a way that
	// nobody may be let in by guessing, as with its Issuer or its Upstreams: [Check]
	// then refuses the tenant.
	Fault string
}

// Plan is a plan's name: lower-case letters, digits, hyphens and underscores,
// 1 to 32 bytes, beginning with a letter, so that it is safe as a header value
// and a metric label. The zero value is no plan.
type Plan string

// ParsePlan checks the form of a plan's name; whether such a plan exists is
// the gateway's configuration's to say. The error wraps [ErrMalformed].
func ParsePlan(s string) (Plan, error) {
	if err := checkPlan(s); err != nil {
		return "", fmt.Errorf("parsing plan name %q: %w: %w", clip(s), ErrMalformed, err)
	}
	return Plan(s), nil
}

func checkPlan(s string) error {
	if s == "" || len(s) > 32 {
		return errors.New("expected 1 to 32 characters")
	}
	if s[0] < 'a' || s[0] > 'z' {
		return errors.New("expected a lower-case letter first")
	}
	for i := range len(s) {
		c := s[i]
		if ('a' > c || c > 'z') && ('0' > c || c > '9') && c != '-' && c != '_' {
			return errors.New("expected lower-case letters a-z, digits, hyphens and underscores")
		}
	}
	return nil
}

// Status is a tenant's place in its life. Requests are served in [Active]
// only. The zero value is no status and serves nothing.
type Status uint8

// The states of a tenant's life.
const (
	Provisioning Status = iota + 1 // being set up; no outsider may see it
	Active                         // served
	Suspended                      // data kept, requests refused, reversible
	Deactivated                    // to be purged after a delay, reversible until then
	Purged                         // data gone, only the record is left
)

var statusNames = [...]string{
	Provisioning: "provisioning", Active: "active", Suspended: "suspended",
	Deactivated: "deactivated", Purged: "purged",
}

// ParseStatus reads a status by its lower-case English name. The error wraps
// [ErrMalformed] and lists the names.
func ParseStatus(s string) (Status, error) {
	for i, name := range statusNames {
		if name != "" && name == s {
			return Status(i), nil
		}
	}
	return 0, fmt.Errorf("parsing status %q: %w: expected provisioning, active, suspended, deactivated or purged", clip(s), ErrMalformed)
}

// String returns the status's name, or "none" for the zero value.
func (s Status) String() string {
	if int(s) < len(statusNames) && statusNames[s] != "" {
		return statusNames[s]
	}
	return "none"
}

// MarshalText implements encoding.TextMarshaler.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler through [ParseStatus].
func (s *Status) UnmarshalText(b []byte) error {
	status, err := ParseStatus(string(b))
	if err != nil {
		return err
	}
	*s = status
	return nil
}

// Lookup finds tenants in one consistent snapshot. It never blocks and never
// does I/O; it is safe for concurrent use.
//
// It answers for tenants in every status: whether one may be served is the
// caller's decision, by [Check].
type Lookup interface {
	// BySlug returns the tenant of that name, or nil.
	BySlug(Slug) *Tenant
	// ByHost returns the tenant that owns the domain, or nil. The host is in
	// the form of [NormalizeHost].
	ByHost(host string) *Tenant
}
