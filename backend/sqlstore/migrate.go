package sqlstore

import (
	"context"
	"fmt"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Target is the version of the tables that this program's statements need.
func (s *Store) Target() int64 { return s.target }

// Migrate brings one set of tables up to date and returns the version reached:
// t's own tables, or those that all tenants share.
func (s *Store) Migrate(ctx context.Context, t tenant.Slug, i petstore.Isolation) (version int64, err error) {
	p, err := s.place(i)
	if err != nil {
		return 0, err
	}
	err = withMigrator(ctx, p, t, func(m *migrator) (err error) {
		version, _, err = m.up(ctx)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("migrating the tables of tenant %q: %w", t, err)
	}
	return version, nil
}
