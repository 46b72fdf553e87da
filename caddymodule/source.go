package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// SourceConfig says where the tenants come from. The source is read in the
// background; a request never waits for it.
type SourceConfig struct {
	// `sqlite`, `postgres`, `file` or `http`.
	Type string `json:"type"`

	// The SQLite database, the JSON or YAML file, the Postgres connection string
	// or the URL of a JSON feed. Placeholders such as `{env.DATABASE_URL}` keep secrets out of the
	// configuration.
	Address string `json:"address"`

	// For databases: the query that lists the tenants. Its columns are found
	// by name: `slug` (required), `id`, `name`, `plan`, `status`, `limits`,
	// `hosts`, `upstreams`, `issuer`, `jwks`, `created_at`, `version`. Default: one that fits the catalog of the bundled backend.
	Query string `json:"query,omitempty"`

	// How often the source is asked whether something changed. Default: what
	// suits the source, at most 500ms.
	Interval caddy.Duration `json:"interval,omitempty"`

	// For `http`: headers to send, such as a credential, and how long the server
	// may wait for a change before it answers. Default: none.
	Headers  map[string]string `json:"headers,omitempty"`
	LongPoll caddy.Duration    `json:"long_poll,omitempty"`

	// When the source could not be read for so long, requests get 503 instead of
	// being served by an old list. Default: the old list is served for good.
	MaxStale caddy.Duration `json:"max_stale,omitempty"`
}

// open finds or makes the registry for this source.
func (c SourceConfig) open(ctx caddy.Context, repl *caddy.Replacer) (*pooled[*tenants], error) {
	if c.Type == "" {
		return nil, errors.New("tenancy: no source of tenants; " + expectedSource)
	}
	c.Address = repl.ReplaceAll(c.Address, "")
	if c.Address == "" {
		return nil, fmt.Errorf("tenancy: the address of the source %q is empty", c.Type)
	}
	headers := make(map[string]string, len(c.Headers))
	for name, value := range c.Headers {
		headers[name] = repl.ReplaceAll(value, "")
	}
	c.Headers = headers
	for _, d := range []caddy.Duration{c.Interval, c.LongPoll, c.MaxStale} {
		if d < 0 {
			return nil, fmt.Errorf("tenancy: source: duration %v; expected a positive one", time.Duration(d))
		}
	}
	key, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return hold("registry "+string(key), func() (*tenants, error) {
		source, err := c.source()
		if err != nil {
			return nil, fmt.Errorf("tenancy: %w", err)
		}
		store := newSnapshotStore("tenants", string(key))
		store.readFrom(ctx.Storage())
		return &tenants{store: store, Registry: registry.Open(registry.Options{
			Source: source, Interval: time.Duration(c.Interval), Check: checkRecord,
			Store: store, MaxStale: time.Duration(c.MaxStale),
		})}, nil
	})
}

const expectedSource = "expected 'source sqlite PATH', 'source postgres DSN', 'source file PATH' or 'source http URL'"

func (c SourceConfig) source() (registry.Source, error) {
	database := c.Type == "sqlite" || c.Type == "postgres"
	if c.Query != "" && !database {
		return nil, fmt.Errorf("a source of type %q takes no query", c.Type)
	}
	if (len(c.Headers) > 0 || c.LongPoll > 0) && c.Type != "http" {
		return nil, fmt.Errorf("a source of type %q takes no header and no long_poll", c.Type)
	}
	switch c.Type {
	case "sqlite":
		return registry.NewSQLite(c.Address, c.Query)
	case "postgres":
		return registry.NewPostgres(c.Address, c.Query)
	case "file":
		return registry.NewFile(c.Address)
	case "http":
		header := make(http.Header, len(c.Headers))
		for name, value := range c.Headers {
			header.Set(name, value)
		}
		return registry.NewHTTP(c.Address, registry.HTTPOptions{Header: header, LongPoll: time.Duration(c.LongPoll)})
	}
	return nil, fmt.Errorf("unknown source %q; expected sqlite, postgres, file or http", c.Type)
}

// checkRecord refuses records whose limits can't be read or whose issuer's keys
// can't be fetched; the registry names them and goes on without.
func checkRecord(t *tenant.Tenant) error {
	if t.JWKS != "" {
		if _, err := auth.HTTPFetcher(t.JWKS, auth.HTTPOptions{}); err != nil {
			return err
		}
	}
	if t.Limits == "" {
		return nil
	}
	limits, err := ratelimit.ParseLimits(t.Limits)
	if err == nil {
		_, err = ratelimit.NewPolicy(limits, ratelimit.LocalShare)
	}
	return err
}
