package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// demo are the tenants that a first look needs: one on each of the lower
// plans.
var demo = []struct {
	tenant control.New
	pets   []petstore.Pet
}{
	{control.New{Slug: "acme-pets", Name: "Acme Pets", Plan: "free", NoSamplePet: true}, []petstore.Pet{
		{Name: "Rex", Species: "dog", Breed: "German Shepherd", Tags: []string{"trained"}, BirthDate: "2021-03-14"},
		{Name: "Whiskers", Species: "cat", Breed: "Siamese", BirthDate: "2022-07-01"},
		{Name: "Bubbles", Species: "fish", Breed: "Goldfish"},
	}},
	{control.New{Slug: "fluffy-friends", Name: "Fluffy Friends", Plan: "basic", NoSamplePet: true}, []petstore.Pet{
		{Name: "Cotton", Species: "rabbit", Breed: "Angora", Tags: []string{"indoor", "gentle"}},
		{Name: "Duchess", Species: "cat", Breed: "Persian", BirthDate: "2019-11-23"},
	}},
	{control.New{Slug: "paws-and-claws", Name: "Paws and Claws", Plan: "premium", NoSamplePet: true}, []petstore.Pet{
		{Name: "Talon", Species: "bird", Breed: "Kestrel", BirthDate: "2020-05-05"},
		{Name: "Biscuit", Species: "dog", Breed: "Beagle", Tags: []string{"puppy"}, BirthDate: "2025-12-24"},
		{Name: "Shelly", Species: "turtle"},
	}},
}

// addDemo adds the demo tenants once in the life of a catalog: one that was
// removed since stays removed.
func addDemo(ctx context.Context, b *backend, log *slog.Logger) error {
	return b.catalog.DemoOnce(ctx, func(ctx context.Context) error {
		for _, d := range demo {
			if err := addDemoTenant(ctx, b, d.tenant, d.pets); err != nil {
				return err
			}
		}
		log.Info("demo tenants added", "count", len(demo))
		return nil
	})
}

func addDemoTenant(ctx context.Context, b *backend, n control.New, list []petstore.Pet) error {
	slug := tenant.MustSlug(n.Slug)
	_, err := b.catalog.Create(ctx, n, "")
	if errors.Is(err, control.ErrTaken) {
		// An earlier start may have been cut off in the middle of it.
		err = b.catalog.Provision(ctx, slug)
	}
	if err != nil {
		return err
	}
	if err := b.directory.Refresh(ctx); err != nil {
		return err
	}
	pets := b.store.Pets(slug)
	page, err := pets.List(ctx, petstore.Query{Limit: 1})
	if err != nil {
		return err
	}
	if len(page.Pets) > 0 {
		return nil // an earlier start was cut off after this tenant
	}
	for _, pet := range list {
		if _, err := pets.Create(ctx, pet); err != nil {
			return fmt.Errorf("adding %q to %q: %w", pet.Name, slug, err)
		}
	}
	return nil
}
