package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// SourceConfig says where the tenants come from. The source is read in the
// background; a request never waits for it.
type SourceConfig struct {
	// `sqlite`, `postgres` or `file`.
	Type string `json:"type"`

	// The SQLite database, the JSON or YAML file, or the Postgres connection
	// string. Placeholders such as `{env.DATABASE_URL}` keep secrets out of the
	// configuration.
	Address string `json:"address"`

	// For databases: the query that lists the tenants. Its columns are found
	// by name: `slug` (required), `id`, `name`, `plan`, `status`, `limits`,
	// `hosts`. Default: one that fits the catalog of the bundled backend.
	Query string `json:"query,omitempty"`

	// How often the source is asked whether something changed. Default: 500ms.
	Interval caddy.Duration `json:"interval,omitempty"`
}

// open finds or makes the registry for this source.
func (c SourceConfig) open(repl *caddy.Replacer) (*pooled[*registry.Registry], error) {
	if c.Type == "" {
		return nil, errors.New("tenancy: no source of tenants; expected 'source sqlite PATH', 'source postgres DSN' or 'source file PATH'")
	}
	c.Address = repl.ReplaceAll(c.Address, "")
	if c.Address == "" {
		return nil, fmt.Errorf("tenancy: the address of the source %q is empty", c.Type)
	}
	if c.Interval < 0 {
		return nil, fmt.Errorf("tenancy: source interval %v; expected a positive duration", time.Duration(c.Interval))
	}
	key, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return hold("registry "+string(key), func() (*registry.Registry, error) {
		source, err := c.source()
		if err != nil {
			return nil, fmt.Errorf("tenancy: %w", err)
		}
		return registry.Open(registry.Options{
			Source: source, Interval: time.Duration(c.Interval), Check: checkRecord,
		}), nil
	})
}

func (c SourceConfig) source() (registry.Source, error) {
	switch c.Type {
	case "sqlite":
		return registry.NewSQLite(c.Address, c.Query)
	case "postgres":
		return registry.NewPostgres(c.Address, c.Query)
	case "file":
		if c.Query != "" {
			return nil, errors.New("a source of type 'file' takes no query")
		}
		return registry.NewFile(c.Address)
	}
	return nil, fmt.Errorf("unknown source %q; expected sqlite, postgres or file", c.Type)
}

// checkRecord refuses records whose limits can't be read; the registry names
// them and goes on without.
func checkRecord(t *tenant.Tenant) error {
	if t.Limits == "" {
		return nil
	}
	limits, err := ratelimit.ParseLimits(t.Limits)
	if err == nil {
		_, err = ratelimit.NewPolicy(limits, ratelimit.LocalShare)
	}
	return err
}
