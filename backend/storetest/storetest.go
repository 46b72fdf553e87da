// Package storetest is the conformance suite of [petstore.Store]: what every
// engine and every isolation strategy must do, as sentences.
//
// A case returns an error instead of failing a test, so that a test can also
// demand that a broken store does not pass.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Fixture is a store under test and what makes and removes tenants in it.
type Fixture struct {
	Store  petstore.Store
	Create func(context.Context, tenant.Slug) error
	Remove func(context.Context, tenant.Slug) error
}

// Case is one sentence about every store.
type Case struct {
	Name string
	Run  func(context.Context, Fixture) error
}

// Cases are the whole suite.
func Cases() []Case {
	return append(append(append([]Case{}, domainCases...), isolationCases...), concurrencyCases...)
}

// Walls are the cases that show whether a tenant can reach another's pets.
func Walls() []Case { return append(append([]Case{}, isolationCases...), concurrencyCases[0]) }

// Run runs the suite. The cases use tenants of their own, so that one fixture
// serves all of them.
func Run(t *testing.T, f Fixture) {
	t.Helper()
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := c.Run(ctx, f); err != nil {
				t.Error(err)
			}
		})
	}
}

var serial atomic.Int64

// tenants makes n tenants that no other case uses.
func tenants(ctx context.Context, f Fixture, n int) ([]tenant.Slug, error) {
	slugs := make([]tenant.Slug, n)
	for i := range slugs {
		slugs[i] = fresh()
		if err := f.Create(ctx, slugs[i]); err != nil {
			return nil, fmt.Errorf("making tenant %q: %w", slugs[i], err)
		}
	}
	return slugs, nil
}

func fresh() tenant.Slug {
	return tenant.MustSlug(fmt.Sprintf("suite-%c-%d", 'a'+serial.Add(1)%26, serial.Load()))
}

// two makes two tenants and gives the first one pet and the second another.
func two(ctx context.Context, f Fixture) (a, b petstore.Pets, ofA, ofB petstore.Pet, err error) {
	slugs, err := tenants(ctx, f, 2)
	if err != nil {
		return nil, nil, ofA, ofB, err
	}
	a, b = f.Store.Pets(slugs[0]), f.Store.Pets(slugs[1])
	if ofA, err = a.Create(ctx, petstore.Pet{Name: "Rex", Species: "dog"}); err != nil {
		return nil, nil, ofA, ofB, err
	}
	ofB, err = b.Create(ctx, petstore.Pet{Name: "Tom", Species: "cat"})
	return a, b, ofA, ofB, err
}

// pair is a case about two tenants with one pet each.
func pair(run func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error) func(context.Context, Fixture) error {
	return func(ctx context.Context, f Fixture) error {
		a, b, ofA, ofB, err := two(ctx, f)
		if err != nil {
			return err
		}
		return run(ctx, a, b, ofA, ofB)
	}
}

// is demands an error of the vocabulary.
func is(what string, err, want error) error {
	if !errors.Is(err, want) {
		return fmt.Errorf("%s: got error %w, expected %w", what, err, want)
	}
	return nil
}

// all reads every page.
func all(ctx context.Context, pets petstore.Pets, q petstore.Query) (list []petstore.Pet, err error) {
	for {
		page, err := pets.List(ctx, q)
		if err != nil {
			return nil, err
		}
		list = append(list, page.Pets...)
		if !page.More {
			return list, nil
		}
		if len(page.Pets) == 0 {
			return nil, errors.New("an empty page says that more follow")
		}
		q.After = page.Pets[len(page.Pets)-1].ID
	}
}

// unchanged demands that pets still returns p as it was.
func unchanged(ctx context.Context, pets petstore.Pets, p petstore.Pet) error {
	now, err := pets.Get(ctx, p.ID)
	if err != nil {
		return fmt.Errorf("the owner reading its pet: %w", err)
	}
	return same(now, p)
}

func same(got, want petstore.Pet) error {
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		return fmt.Errorf("got pet %s, expected %s", g, w)
	}
	return nil
}
