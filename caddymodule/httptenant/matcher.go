package httptenant

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Matcher matches requests by the tenant that the `tenant` directive
// found: by plan, by slug, or both. It matches nothing where no tenant was
// found.
type Matcher struct {
	// The plans, of which the tenant's must be one.
	Plans []string `json:"plans,omitempty"`

	// The slugs, of which the tenant's must be one.
	Slugs []string `json:"slugs,omitempty"`
}

// CaddyModule returns the module's identity.
func (*Matcher) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.matchers.tenant", New: func() caddy.Module { return new(Matcher) }}
}

// Validate refuses names that can never match.
func (m *Matcher) Validate() error {
	if len(m.Plans) == 0 && len(m.Slugs) == 0 {
		return errors.New("matcher tenant: expected plans or slugs")
	}
	for _, p := range m.Plans {
		if _, err := tenant.ParsePlan(p); err != nil {
			return fmt.Errorf("matcher tenant: %w", err)
		}
	}
	for _, s := range m.Slugs {
		if _, err := tenant.ParseSlug(s); err != nil {
			return fmt.Errorf("matcher tenant: %w", err)
		}
	}
	return nil
}

// Match reports whether the request's tenant is among the named.
func (m *Matcher) Match(r *http.Request) bool {
	q := tenancy.FromContext(r.Context())
	if q == nil {
		return false
	}
	return (len(m.Plans) == 0 || slices.Contains(m.Plans, string(q.Plan()))) &&
		(len(m.Slugs) == 0 || slices.Contains(m.Slugs, q.Tenant().Slug.String()))
}

// MatchWithError is Match; it never fails.
func (m *Matcher) MatchWithError(r *http.Request) (bool, error) { return m.Match(r), nil }

// UnmarshalCaddyfile reads the matcher; lines of one matcher add up:
//
//	@name tenant plan <plans...>
//	@name tenant slug <slugs...>
func (m *Matcher) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	for d.Next() { // the matcher's name; once per line
		if !d.NextArg() {
			return d.ArgErr()
		}
		kind := d.Val()
		names := d.RemainingArgs()
		if len(names) == 0 {
			return d.Errf("matcher tenant: expected names behind %q", kind)
		}
		switch kind {
		case "plan":
			m.Plans = append(m.Plans, names...)
		case "slug":
			m.Slugs = append(m.Slugs, names...)
		default:
			return d.Errf("matcher tenant: unknown %q; expected plan or slug", kind)
		}
		if d.NextBlock(d.Nesting()) {
			return d.Err("matcher tenant takes no block")
		}
	}
	return nil
}

var (
	_ caddy.Validator                   = (*Matcher)(nil)
	_ caddyhttp.RequestMatcherWithError = (*Matcher)(nil)
	_ caddyfile.Unmarshaler             = (*Matcher)(nil)
)
