package control

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// maxHosts is the number of domains that a tenant may have.
const maxHosts = 20

// checkHosts puts hosts into their normal form, sorted.
func (c *Catalog) checkHosts(bad *petstore.Invalid, hosts *[]string) {
	if len(*hosts) > maxHosts {
		bad.Add("hosts", "expected at most %d hosts", maxHosts)
		return
	}
	out := make([]string, 0, len(*hosts))
	for i, h := range *hosts {
		field := fmt.Sprintf("hosts[%d]", i)
		name := c.ownHost(bad, field, h)
		if name != "" && slices.Contains(out, name) {
			bad.Add(field, "the host is there already")
		}
		out = append(out, name)
	}
	slices.Sort(out)
	*hosts = out
}

// vouchFor replaces a tenant's domains with those that an operator names. A claim
// that waits for its proof has no say about them any more.
func (c *Catalog) vouchFor(ctx context.Context, tx sqldb.Conn, t Tenant, hosts []string) error {
	if err := c.setHosts(ctx, tx, t.Slug, t.Hosts, hosts); err != nil {
		return err
	}
	for _, h := range hosts {
		err := sqldb.Exec(ctx, tx, `DELETE FROM host_claims WHERE host = $1 AND slug = $2 AND state = $3`, h, t.Slug.String(), HostPending)
		if err != nil {
			return err
		}
	}
	return nil
}

// setHosts replaces a tenant's domains. The ones it gives up are held: for a
// while only this tenant may claim them again. The operator vouches for the
// domains, so they count as verified.
func (c *Catalog) setHosts(ctx context.Context, tx sqldb.Conn, slug tenant.Slug, before, after []string) error {
	now := c.now()
	for _, h := range before {
		if slices.Contains(after, h) {
			continue
		}
		for _, table := range []string{"tenant_hosts", "host_claims"} {
			if err := sqldb.Exec(ctx, tx, `DELETE FROM `+table+` WHERE host = $1 AND slug = $2`, h, slug.String()); err != nil {
				return err
			}
		}
		err := sqldb.Exec(ctx, tx, `INSERT INTO host_holds (host, slug, until) VALUES ($1, $2, $3)
			ON CONFLICT (host) DO UPDATE SET slug = $2, until = $3`, h, slug.String(), now.Add(hostHold).UnixMicro())
		if err != nil {
			return err
		}
	}
	for _, h := range after {
		if slices.Contains(before, h) {
			continue
		}
		var holder string
		err := tx.QueryRowContext(ctx, `SELECT slug FROM host_holds WHERE host = $1 AND until > $2`, h, now.UnixMicro()).Scan(&holder)
		switch {
		case err == nil && holder != slug.String():
			return fmt.Errorf("claiming host %q: %w: it was another tenant's until a moment ago", h, ErrTaken)
		case err != nil && !errors.Is(err, sql.ErrNoRows):
			return err
		}
		err = sqldb.Exec(ctx, tx, `INSERT INTO tenant_hosts (host, slug, verified, created_at) VALUES ($1, $2, 1, $3)`, h, slug.String(), now.UnixMicro())
		if errors.Is(sqldb.Classify(err), sqldb.ErrUnique) {
			return fmt.Errorf("claiming host %q: %w", h, ErrTaken)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// challengeLabel is where the proof of a host's ownership is in DNS.
const challengeLabel = "_caddy-tenancy-challenge."

// registration turns what people type into the form that DNS has (UTS 46,
// without the transitional mappings). It is applied when a host is registered
// and never when a request is resolved: there, two spellings that map to one
// name would be two ways to a tenant.
var registration = idna.New(
	idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(true),
	idna.BidiRule(), idna.ValidateLabels(true), idna.VerifyDNSLength(true),
)

// specialDomains are not delegated to anybody (RFC 6761, RFC 6762, RFC 7686,
// RFC 9476), so that nobody can own a name in them.
var specialDomains = []string{"localhost", "local", "internal", "invalid", "onion", "arpa", "alt"}

// ownHost returns a domain that a tenant may claim in normal form, or says in
// bad what is wrong with it.
func (c *Catalog) ownHost(bad *petstore.Invalid, field, s string) string {
	if len(s) > 4*tenant.MaxHostLen {
		bad.Add(field, "expected a domain name")
		return ""
	}
	name, err := registration.ToASCII(strings.TrimSuffix(s, "."))
	if err == nil {
		name, err = tenant.NormalizeHost(name)
	}
	suffix, _ := publicsuffix.PublicSuffix(name)
	switch {
	case err != nil || strings.Contains(s, ":"):
		bad.Add(field, "expected a domain name, as in pets.customer.example, without a scheme, a port or a path")
	case c.isPlatforms(name):
		bad.Add(field, "the domain is the platform's own")
	case name == suffix || !strings.Contains(name, "."):
		bad.Add(field, "expected a domain that one customer can own")
	case slices.ContainsFunc(specialDomains, func(d string) bool { return strings.HasSuffix(name, "."+d) }):
		bad.Add(field, "expected a domain of the public DNS")
	case len(challengeLabel)+len(name) > tenant.MaxHostLen:
		bad.Add(field, "expected at most %d characters", tenant.MaxHostLen-len(challengeLabel))
	default:
		return name
	}
	return ""
}

// isPlatforms reports whether the host is the base domain, in it, or above it.
func (c *Catalog) isPlatforms(host string) bool {
	return c.baseDomain != "" && (host == c.baseDomain || strings.HasSuffix(host, "."+c.baseDomain) || strings.HasSuffix(c.baseDomain, "."+host))
}
