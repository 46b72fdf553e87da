package control

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// maxHosts is the number of domains that a tenant may have.
const maxHosts = 20

// checkHosts puts hosts into their normal form, sorted. The platform's own
// domain and all under it are refused: those belong to slugs.
func (c *Catalog) checkHosts(bad *petstore.Invalid, hosts *[]string) {
	if len(*hosts) > maxHosts {
		bad.Add("hosts", "expected at most %d hosts", maxHosts)
		return
	}
	out := make([]string, 0, len(*hosts))
	for i, h := range *hosts {
		field := fmt.Sprintf("hosts[%d]", i)
		name, err := tenant.NormalizeHost(h)
		switch {
		case err != nil || strings.Contains(h, ":"):
			bad.Add(field, "expected a domain name without a port")
		case !strings.Contains(name, "."):
			bad.Add(field, "expected a domain name with a dot")
		case c.baseDomain != "" && (name == c.baseDomain || strings.HasSuffix(name, "."+c.baseDomain) || strings.HasSuffix(c.baseDomain, "."+name)):
			bad.Add(field, "the domain is the platform's own")
		case slices.Contains(out, name):
			bad.Add(field, "the host is there already")
		default:
			out = append(out, name)
		}
	}
	slices.Sort(out)
	*hosts = out
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
		if _, err := tx.ExecContext(ctx, `DELETE FROM tenant_hosts WHERE host = $1 AND slug = $2`, h, slug.String()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM host_claims WHERE host = $1 AND slug = $2`, h, slug.String()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO host_holds (host, slug, until) VALUES ($1, $2, $3)
			ON CONFLICT (host) DO UPDATE SET slug = $2, until = $3`, h, slug.String(), now.Add(c.hostHold).UnixMicro())
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
		_, err = tx.ExecContext(ctx, `INSERT INTO tenant_hosts (host, slug, verified, created_at) VALUES ($1, $2, 1, $3)`, h, slug.String(), now.UnixMicro())
		if errors.Is(sqldb.Classify(err), sqldb.ErrUnique) {
			return fmt.Errorf("claiming host %q: %w", h, ErrTaken)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
