package control

import (
	"context"
	"fmt"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// OwnPlace is where a tenant has its data apart from the shared tables. Whatever
// leads requests to another place, or to the same one made anew, changes the
// revision: while both fields stay as they are, the place is one and the same.
type OwnPlace struct {
	Isolation petstore.Isolation
	Revision  int64
}

// OwnPlaces lists the tenants that have such a place, by a catalog that may be a
// copy. Tenants that are being set up are not among them: see [SetUpAnew].
func OwnPlaces(ctx context.Context, db *sqldb.DB) (map[tenant.Slug]OwnPlace, error) {
	places := map[tenant.Slug]OwnPlace{}
	err := db.View(ctx, func(tx sqldb.Conn) error {
		return sqldb.Each(ctx, tx, func(scan sqldb.Scan) error {
			var text string
			var p OwnPlace
			if err := scan(&text, &p.Isolation, &p.Revision); err != nil {
				return err
			}
			if slug, err := tenant.ParseSlug(text); err == nil { // others have a place in no store
				places[slug] = p
			}
			return nil
		}, `SELECT slug, isolation, revision FROM tenants WHERE isolation <> 'shared' AND status <> 'purged' AND status <> 'provisioning'`)
	})
	if err != nil {
		return nil, fmt.Errorf("listing the tenants that have files of their own: %w", err)
	}
	return places, nil
}

// SetUpAnew has a copy of a catalog forget how far tenants were set up that are
// not active yet, so that the data that the copy comes without is made again.
func SetUpAnew(ctx context.Context, db *sqldb.DB) error {
	err := db.Update(ctx, func(tx sqldb.Conn) error {
		return sqldb.Exec(ctx, tx, `DELETE FROM onboarding_steps WHERE slug IN (SELECT slug FROM tenants WHERE status = 'provisioning' AND isolation <> 'shared')`)
	})
	if err != nil {
		return fmt.Errorf("preparing the copy of the catalog: %w", err)
	}
	return nil
}
