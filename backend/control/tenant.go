package control

import (
	"errors"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Errors of the control plane, besides [tenant.ErrNotFound], [*petstore.Invalid]
// and [petstore.ErrUnavailable].
var (
	// ErrTaken means that the slug, one that looks like it, or a host is in
	// use.
	ErrTaken = errors.New("already taken")
	// ErrState means that a tenant in its present state cannot do what was
	// asked.
	ErrState = errors.New("not possible in the tenant's present state")
)

// Tenant is a tenant's whole record.
type Tenant struct {
	tenant.Tenant
	// Isolation is where the tenant's data is.
	Isolation petstore.Isolation
	CreatedAt time.Time
	UpdatedAt time.Time
	// PurgeAt is when a deactivated tenant's data is deleted; zero for any
	// other.
	PurgeAt time.Time
	Config  Config
}

// New is what an operator says about a new tenant.
type New struct {
	Slug string
	Name string // empty means the slug
	Plan string // empty means the first plan there is
	// Isolation is empty for the installation's default.
	Isolation string
	// AdminEmail is where the welcome mail goes; empty sends none.
	AdminEmail string
	// Upstreams are the tenant's own backends; none means the shared ones.
	Upstreams []string `json:",omitempty"` // left out of the hash of a request without
	// NoSamplePet leaves the tenant without the pet that others begin with.
	NoSamplePet bool

	importing bool
}

// MaxName is the longest name of a tenant in characters.
const MaxName = 100

func (c *Catalog) checkNew(n New) (Tenant, error) {
	var bad petstore.Invalid
	var t Tenant
	slug, err := tenant.ParseSlug(n.Slug)
	switch {
	case err != nil:
		bad.Add("slug", "%s", reason(err))
	case looksReserved(slug):
		bad.Add("slug", "the name looks like a reserved word")
	}
	if n.Name == "" {
		n.Name = slug.String()
	} else {
		checkName(&bad, n.Name)
	}
	if n.Plan == "" {
		n.Plan = string(c.plans[0])
	}
	plan := c.checkPlan(&bad, n.Plan)
	isolation := c.isolation
	if n.Isolation != "" {
		if isolation, err = petstore.ParseIsolation(n.Isolation); err != nil {
			bad.Add("isolation", "expected shared, schema or database")
		}
	}
	checkEmail(&bad, n.AdminEmail)
	checkUpstreams(&bad, &n.Upstreams)
	t.Upstreams = n.Upstreams
	t.Slug, t.Name, t.Plan, t.Isolation, t.Status = slug, n.Name, plan, isolation, tenant.Provisioning
	return t, bad.Err()
}

func (c *Catalog) checkPlan(bad *petstore.Invalid, s string) tenant.Plan {
	plan := tenant.Plan(s)
	if !slices.Contains(c.plans, plan) {
		names := make([]string, len(c.plans))
		for i, p := range c.plans {
			names[i] = string(p)
		}
		bad.Add("plan", "expected one of %s", strings.Join(names, ", "))
	}
	return plan
}

func checkName(bad *petstore.Invalid, s string) {
	if n := utf8.RuneCountInString(s); n < 1 || n > MaxName || !utf8.ValidString(s) {
		bad.Add("name", "expected 1 to %d characters", MaxName)
		return
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029 {
			bad.Add("name", "expected no control characters")
			return
		}
	}
}

// reason is the last part of an error's text: what was expected, without the
// activity and the object, which the field's name says already.
func reason(err error) string {
	s := err.Error()
	if i := strings.LastIndex(s, ": "); i >= 0 {
		return s[i+2:]
	}
	return s
}

// checkEmail accepts "" and addresses that are safe in a header line; whether
// somebody reads them shows when the mail is sent.
func checkEmail(bad *petstore.Invalid, s string) {
	if s == "" {
		return
	}
	a, err := mail.ParseAddress(s)
	if err != nil || a.Name != "" || a.Address != s || len(s) > 254 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		bad.Add("admin_email", "expected an address such as ada@example.com")
	}
}
