package control

import (
	"context"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// loadBatch is the number of rows that one transaction loads: other tenants'
// writes wait no longer than that takes.
const loadBatch = 200

// loader puts pets into a place that nobody else uses yet, a batch at a time.
// What it has put there before an error must be removed.
type loader struct {
	catalog *Catalog
	slug    tenant.Slug
	to      petstore.Isolation
	batch   []petstore.Pet
}

func (l *loader) add(ctx context.Context, p petstore.Pet) error {
	if l.batch = append(l.batch, p); len(l.batch) < loadBatch {
		return nil
	}
	return l.flush(ctx)
}

// flush loads what is left.
func (l *loader) flush(ctx context.Context) error {
	pets := l.batch
	if l.batch = nil; len(pets) == 0 {
		return nil
	}
	return l.catalog.step(ctx, "loading", func(ctx context.Context, _ sqldb.Conn) error {
		return l.catalog.storage.Load(ctx, l.slug, l.to, func(add func(petstore.Pet) error) error {
			for _, p := range pets {
				if err := add(p); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
