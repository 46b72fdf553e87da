// Package postgres is the source tenancy.sources.postgres: tenants, API keys and
// revocations from Postgres 13 or later.
package postgres

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sqlrows"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
)

func init() {
	caddy.RegisterModule(new(Postgres))
}

// Postgres reads the tenants from a Postgres database. A change is seen at once if
// whoever makes it also notifies the channel `tenants_changed`, as the triggers of
// the bundled backend's catalog do; otherwise at the next poll.
type Postgres struct {
	// The connection string, a URL or key=value pairs as libpq takes them; what it
	// leaves out comes from the PG* environment variables. Placeholders such as
	// `{env.DATABASE_URL}` keep the password out of the configuration.
	Address string `json:"address"`

	// The query that lists the tenants. Its columns are found by name: `slug`
	// (required), `id`, `name`, `plan`, `status`, `limits`, `hosts`, `upstreams`,
	// `issuer`, `jwks`, `created_at`. Default: one that fits the catalog of the
	// bundled backend.
	Query string `json:"query,omitempty"`

	tenancy.SourceOptions

	dsn, name string
}

// CaddyModule returns the Caddy module information.
func (*Postgres) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "tenancy.sources.postgres",
		New: func() caddy.Module { return new(Postgres) },
	}
}

// Provision implements [caddy.Provisioner].
func (p *Postgres) Provision(caddy.Context) error {
	p.dsn = caddy.NewReplacer().ReplaceAll(p.Address, "")
	if p.dsn == "" {
		return fmt.Errorf("the address of the source %q is empty", "postgres")
	}
	if _, _, err := p.Pace(); err != nil {
		return err
	}
	config, err := parse(p.dsn)
	if err == nil {
		p.name = nameOf(config)
	}
	return err
}

// OpenSource implements [tenancy.SourceModule].
func (p *Postgres) OpenSource() (registry.Source, error) {
	c := p.open(pollCounted)
	if p.Query != "" {
		c.interval = pollAll
	}
	return source{sqlrows.NewTenants(c, dialect, p.Query), c.listener}, nil
}

// OpenCredentials implements [tenancy.CredentialsModule].
func (p *Postgres) OpenCredentials() (registry.CredentialSource, error) {
	c := p.open(pollCounted)
	return credentials{sqlrows.NewCredentials(c, dialect), c.listener}, nil
}

func (p *Postgres) open(interval time.Duration) *conn {
	return &conn{dsn: p.dsn, name: p.name, interval: interval, listener: newListener(p.dsn)}
}

// source and credentials hear of changes beside what all databases can do.
type (
	source struct {
		*sqlrows.Tenants
		*listener
	}
	credentials struct {
		*sqlrows.Credentials
		*listener
	}
)

// UnmarshalCaddyfile reads the source. Syntax:
//
//	source postgres <dsn> {
//		query     <sql>
//		interval  <duration>
//		max_stale <duration>
//	}
func (p *Postgres) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return p.UnmarshalSource(d, &p.Address, "source: expected a type (sqlite, postgres, file or http) and an address", map[string]func() error{
		"query": func() error {
			if !d.AllArgs(&p.Query) {
				return d.Err("query: expected one SQL statement in quotes or backticks")
			}
			return nil
		},
	})
}

var (
	_ caddy.Provisioner         = (*Postgres)(nil)
	_ caddyfile.Unmarshaler     = (*Postgres)(nil)
	_ tenancy.SourceModule      = (*Postgres)(nil)
	_ tenancy.CredentialsModule = (*Postgres)(nil)
	_ registry.Notifier         = source{}
)
