// Package sqlite is the source tenancy.sources.sqlite: tenants, API keys and
// revocations from a SQLite file that somebody else writes to.
package sqlite

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sqlrows"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
)

func init() {
	caddy.RegisterModule(new(SQLite))
}

// SQLite reads the tenants from a SQLite database, which it never creates nor writes
// to. The file may come later, be replaced by another one, and be written to by
// others in any journal mode meanwhile.
type SQLite struct {
	// The database file. Placeholders are replaced.
	Address string `json:"address"`

	// The query that lists the tenants. Its columns are found by name: `slug`
	// (required), `id`, `name`, `plan`, `status`, `limits`, `hosts`, `upstreams`,
	// `issuer`, `jwks`, `created_at`. Default: one that fits the catalog of the
	// bundled backend.
	Query string `json:"query,omitempty"`

	tenancy.SourceOptions

	path string
}

// CaddyModule returns the Caddy module information.
func (*SQLite) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "tenancy.sources.sqlite",
		New: func() caddy.Module { return new(SQLite) },
	}
}

// Provision implements [caddy.Provisioner].
func (s *SQLite) Provision(caddy.Context) error {
	s.path = caddy.NewReplacer().ReplaceAll(s.Address, "")
	switch s.path {
	case "":
		return fmt.Errorf("the address of the source %q is empty", "sqlite")
	case ":memory:":
		return fmt.Errorf("reading sqlite source %q: expected the path of a database file: nobody else can write to one in memory", s.path)
	}
	_, _, err := s.Pace()
	return err
}

// OpenSource implements [tenancy.SourceModule].
func (s *SQLite) OpenSource() (registry.Source, error) {
	return sqlrows.NewTenants(&conn{path: s.path}, dialect, s.Query), nil
}

// OpenCredentials implements [tenancy.CredentialsModule].
func (s *SQLite) OpenCredentials() (registry.CredentialSource, error) {
	return sqlrows.NewCredentials(&conn{path: s.path}, dialect), nil
}

// UnmarshalCaddyfile reads the source. Syntax:
//
//	source sqlite <path> {
//		query     <sql>
//		interval  <duration>
//		max_stale <duration>
//	}
func (s *SQLite) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return s.UnmarshalSource(d, &s.Address, "source: expected a type (sqlite, postgres, file or http) and an address", map[string]func() error{
		"query": func() error {
			if !d.AllArgs(&s.Query) {
				return d.Err("query: expected one SQL statement in quotes or backticks")
			}
			return nil
		},
	})
}

var (
	_ caddy.Provisioner         = (*SQLite)(nil)
	_ caddyfile.Unmarshaler     = (*SQLite)(nil)
	_ tenancy.SourceModule      = (*SQLite)(nil)
	_ tenancy.CredentialsModule = (*SQLite)(nil)
)
