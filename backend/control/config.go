package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Config is a tenant's configuration.
type Config struct {
	IncludeDeletedPets bool
	PageSize           int
	AllowedSpecies     []string // empty allows all
}

// ErrNoKey means that there is no configuration of that name.
var ErrNoKey = errors.New("no such configuration key")

// setting is one known key: how its JSON becomes part of a Config. apply
// refuses what is not of the key's type and range, saying what was expected.
type setting struct {
	name  string
	value func(Config) any
	apply func(*Config, json.RawMessage) error
}

// settings are all keys there are.
var settings = []setting{
	{"allowed_species", func(c Config) any { return append([]string{}, c.AllowedSpecies...) }, func(c *Config, raw json.RawMessage) error {
		var list []*string
		expected := fmt.Errorf("expected a list of up to 50 different species of 1 to %d characters", petstore.MaxSpecies)
		if json.Unmarshal(raw, &list) != nil || list == nil || len(list) > 50 {
			return expected
		}
		c.AllowedSpecies = nil
		for _, s := range list {
			if s == nil || petstore.CheckSpecies(*s) != nil || slices.Contains(c.AllowedSpecies, *s) {
				return expected
			}
			c.AllowedSpecies = append(c.AllowedSpecies, *s)
		}
		return nil
	}},
	{"include_deleted_pets", func(c Config) any { return c.IncludeDeletedPets }, func(c *Config, raw json.RawMessage) error {
		switch string(raw) {
		case "true", "false":
			c.IncludeDeletedPets = string(raw) == "true"
			return nil
		}
		return errors.New("expected true or false")
	}},
	{"page_size", func(c Config) any { return c.PageSize }, func(c *Config, raw json.RawMessage) error {
		var n *int
		if json.Unmarshal(raw, &n) != nil || n == nil || *n < 1 || *n > petstore.MaxPage {
			return fmt.Errorf("expected a whole number from 1 to %d", petstore.MaxPage)
		}
		c.PageSize = *n
		return nil
	}},
}

// DefaultConfig is what a tenant begins with.
func DefaultConfig() Config { return Config{PageSize: petstore.DefaultPage} }

// ConfigKeys are the names of all keys, sorted.
func ConfigKeys() []string {
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = s.name
	}
	return names
}

// Value returns the value of one key, or [ErrNoKey].
func (c Config) Value(name string) (any, error) {
	for _, s := range settings {
		if s.name == name {
			return s.value(c), nil
		}
	}
	return nil, ErrNoKey
}

// set applies one key.
func (c *Config) set(name string, raw json.RawMessage) error {
	for _, s := range settings {
		if s.name == name {
			return s.apply(c, raw)
		}
	}
	return ErrNoKey
}

// parseConfig reads "name=value" lines over the defaults. A key or value that
// this version does not know is left out: an older program must be able to
// run beside a newer one.
func parseConfig(lines string) Config {
	c := DefaultConfig()
	for line := range strings.SplitSeq(lines, "\n") {
		name, value, _ := strings.Cut(line, "=")
		next := c
		if next.set(name, json.RawMessage(value)) == nil {
			c = next
		}
	}
	return c
}

// defaultConfig writes down what the tenant begins with.
func (c *Catalog) defaultConfig(ctx context.Context, o onboarding) error {
	return c.change(ctx, func(tx sqldb.Conn, revision int64) error {
		for _, s := range settings {
			value, err := json.Marshal(s.value(DefaultConfig()))
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `INSERT INTO tenant_config (slug, name, value, updated_at) VALUES ($1, $2, $3, $4) ON CONFLICT (slug, name) DO NOTHING`,
				o.Slug.String(), s.name, string(value), c.now().UnixMicro())
			if err != nil {
				return err
			}
		}
		return touch(ctx, tx, o.Slug, revision)
	})
}

// touch gives a tenant's record a new revision, so that every process reads it
// again.
func touch(ctx context.Context, tx sqldb.Conn, slug tenant.Slug, revision int64) error {
	_, err := tx.ExecContext(ctx, `UPDATE tenants SET revision = $2 WHERE slug = $1`, slug.String(), revision)
	return err
}

// SetConfig sets one key of a tenant, or with a nil value gives it back its
// default. Errors: [ErrNoKey], [*petstore.Invalid], [tenant.ErrNotFound].
func (c *Catalog) SetConfig(ctx context.Context, slug tenant.Slug, name string, value json.RawMessage) (Config, error) {
	var after Config
	if value == nil {
		initial, err := DefaultConfig().Value(name)
		if err != nil {
			return Config{}, err
		}
		if value, err = json.Marshal(initial); err != nil {
			return Config{}, err
		}
	}
	err := c.change(ctx, func(tx sqldb.Conn, revision int64) error {
		t, err := getTenant(ctx, tx, slug)
		if err != nil {
			return err
		}
		before, err := t.Config.Value(name)
		if err != nil {
			return err
		}
		after = t.Config
		if err := after.set(name, value); err != nil {
			return &petstore.Invalid{Fields: []petstore.FieldError{{Field: "value", Problem: err.Error()}}}
		}
		now, _ := after.Value(name) // it exists
		text, err := json.Marshal(now)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO tenant_config (slug, name, value, updated_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (slug, name) DO UPDATE SET value = $3, updated_at = $4`,
			slug.String(), name, string(text), c.now().UnixMicro())
		if err != nil {
			return err
		}
		if err := touch(ctx, tx, slug, revision); err != nil {
			return err
		}
		return c.record(ctx, tx, "config.set", slug, map[string]any{name: before}, map[string]any{name: now})
	})
	if err != nil {
		return Config{}, fmt.Errorf("setting %q of tenant %q: %w", name, slug, err)
	}
	return after, nil
}
