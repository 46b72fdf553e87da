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

// ErrNoKey means that there is no configuration of that name.
var ErrNoKey = errors.New("no such configuration key")

// setting is one known key: how its JSON becomes part of a Config. apply
// refuses what is not of the key's type and range, saying what was expected.
type setting struct {
	name  string
	value func(petstore.Config) any
	apply func(*petstore.Config, json.RawMessage) error
}

// settings are all keys there are.
var settings = []setting{
	{"allowed_species", func(c petstore.Config) any { return append([]string{}, c.AllowedSpecies...) }, func(c *petstore.Config, raw json.RawMessage) error {
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
	{"include_deleted_pets", func(c petstore.Config) any { return c.IncludeDeletedPets }, func(c *petstore.Config, raw json.RawMessage) error {
		switch string(raw) {
		case "true", "false":
			c.IncludeDeletedPets = string(raw) == "true"
			return nil
		}
		return errors.New("expected true or false")
	}},
	{"page_size", func(c petstore.Config) any { return c.PageSize }, func(c *petstore.Config, raw json.RawMessage) error {
		var n *int
		if json.Unmarshal(raw, &n) != nil || n == nil || *n < 1 || *n > petstore.MaxPage {
			return fmt.Errorf("expected a whole number from 1 to %d", petstore.MaxPage)
		}
		c.PageSize = *n
		return nil
	}},
}

// ConfigKeys are the names of all keys, sorted.
func ConfigKeys() []string {
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = s.name
	}
	return names
}

// ConfigValue returns the value of one key, or [ErrNoKey].
func ConfigValue(c petstore.Config, name string) (any, error) {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.name == name })
	if i < 0 {
		return nil, ErrNoKey
	}
	return settings[i].value(c), nil
}

// setValue applies one key.
func setValue(c *petstore.Config, name string, raw json.RawMessage) error {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.name == name })
	if i < 0 {
		return ErrNoKey
	}
	return settings[i].apply(c, raw)
}

// parseConfig reads "name=value" lines over the defaults. A key or value that
// this version does not know is left out: an older program must be able to
// run beside a newer one.
func parseConfig(lines string) petstore.Config {
	c := petstore.DefaultConfig()
	for line := range strings.SplitSeq(lines, "\n") {
		name, value, _ := strings.Cut(line, "=")
		next := c
		if setValue(&next, name, json.RawMessage(value)) == nil {
			c = next
		}
	}
	return c
}

// defaultConfig writes down what the tenant begins with.
func (c *Catalog) defaultConfig(ctx context.Context, o onboarding) error {
	return c.change(ctx, func(tx sqldb.Conn) error {
		for _, s := range settings {
			value, err := json.Marshal(s.value(petstore.DefaultConfig()))
			if err != nil {
				return err
			}
			err = sqldb.Exec(ctx, tx, `INSERT INTO tenant_config (slug, name, value, updated_at) VALUES ($1, $2, $3, $4) ON CONFLICT (slug, name) DO NOTHING`,
				o.Slug.String(), s.name, string(value), c.now().UnixMicro())
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// SetConfig sets one key of a tenant, or with a nil value gives it back its
// default. Errors: [ErrNoKey], [*petstore.Invalid], [tenant.ErrNotFound].
func (c *Catalog) SetConfig(ctx context.Context, slug tenant.Slug, name string, value json.RawMessage) (petstore.Config, error) {
	var after petstore.Config
	if value == nil {
		initial, err := ConfigValue(petstore.DefaultConfig(), name)
		if err != nil {
			return petstore.Config{}, err
		}
		if value, err = json.Marshal(initial); err != nil {
			return petstore.Config{}, err
		}
	}
	err := c.change(ctx, func(tx sqldb.Conn) error {
		t, err := getTenant(ctx, tx, slug)
		if err != nil {
			return err
		}
		before, err := ConfigValue(t.Config, name)
		if err != nil {
			return err
		}
		after = t.Config
		if err := setValue(&after, name, value); err != nil {
			return petstore.InvalidField("value", "%s", err)
		}
		now, _ := ConfigValue(after, name) // it exists
		text, err := json.Marshal(now)
		if err != nil {
			return err
		}
		err = sqldb.Exec(ctx, tx, `INSERT INTO tenant_config (slug, name, value, updated_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (slug, name) DO UPDATE SET value = $3, updated_at = $4`,
			slug.String(), name, string(text), c.now().UnixMicro())
		if err != nil {
			return err
		}
		return c.record(ctx, tx, "config.set", slug, map[string]any{name: before}, map[string]any{name: now})
	})
	if err != nil {
		return petstore.Config{}, fmt.Errorf("setting %q of tenant %q: %w", name, slug, err)
	}
	return after, nil
}
