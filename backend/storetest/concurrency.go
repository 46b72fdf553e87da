package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

var concurrencyCases = []Case{
	{"no connection carries a tenant into the next request", hammer},
	{"a cancelled request leaves nothing on its connection", pair(func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error {
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				short, cancel := context.WithCancel(ctx)
				wg.Go(cancel)
				// Either outcome is right; what matters is what comes after.
				_, _ = a.Change(short, ofA.ID, func(p *petstore.Pet) error { return nil })
				_, _ = a.List(short, petstore.Query{})
			})
		}
		wg.Wait()
		for range 20 {
			if err := unchanged(ctx, b, ofB); err != nil {
				return err
			}
			if _, err := b.Get(ctx, ofA.ID); !errors.Is(err, petstore.ErrNotFound) {
				return fmt.Errorf("reading another's pet after cancelled requests: got error %w", err)
			}
		}
		return nil
	})},
	{"pages stay stable while others write", pair(func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error {
		want := map[string]bool{}
		for i := range 12 {
			p, err := a.Create(ctx, petstore.Pet{Name: "Stays " + strconv.Itoa(i), Species: "cat"})
			if err != nil {
				return err
			}
			want[p.ID] = true
		}
		seen := map[string]int{}
		q := petstore.Query{Limit: 2, Species: "cat"}
		for {
			page, err := a.List(ctx, q)
			if err != nil {
				return err
			}
			for _, p := range page.Pets {
				seen[p.ID]++
			}
			if !page.More {
				break
			}
			q.After = page.Pets[len(page.Pets)-1].ID
			passing, err := a.Create(ctx, petstore.Pet{ID: "0" + petstore.NewID(page.Pets[0].CreatedAt), Name: "Before", Species: "cat"})
			if err != nil {
				return err
			}
			if err := a.Delete(ctx, passing.ID); err != nil {
				return err
			}
			if _, err := b.Create(ctx, petstore.Pet{Name: "Other", Species: "cat"}); err != nil {
				return err
			}
		}
		for id := range want {
			if seen[id] != 1 {
				return fmt.Errorf("pet %q was shown %d times, expected once", id, seen[id])
			}
		}
		return nil
	})},
	{"no change is lost when many change one pet", pair(func(ctx context.Context, a, b petstore.Pets, ofA, ofB petstore.Pet) error {
		const each, workers = 5, 6
		failures := make(chan error, workers)
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range each {
					_, err := a.Change(ctx, ofA.ID, func(p *petstore.Pet) error {
						n, _ := strconv.Atoi(p.Breed) // empty is 0
						p.Breed = strconv.Itoa(n + 1)
						return nil
					})
					if err != nil {
						failures <- err
						return
					}
				}
			})
		}
		wg.Wait()
		close(failures)
		if err := <-failures; err != nil {
			return err
		}
		p, err := a.Get(ctx, ofA.ID)
		if err != nil || p.Breed != strconv.Itoa(each*workers) {
			return fmt.Errorf("counted to %q, expected %d, %w", p.Breed, each*workers, err)
		}
		return nil
	})},
}

// hammer lets many goroutines work for several tenants over one pool. Every
// pet is named after its owner, so that a foreign row shows.
func hammer(ctx context.Context, f Fixture) error {
	slugs, err := tenants(ctx, f, 4)
	if err != nil {
		return err
	}
	for _, slug := range slugs {
		// The same id everywhere: only the tenant tells the rows apart.
		if _, err := f.Store.Pets(slug).Create(ctx, petstore.Pet{ID: "same", Name: slug.String(), Species: "cat"}); err != nil {
			return err
		}
	}
	const workers, rounds = 8, 25
	failures := make(chan error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		random := rand.New(rand.NewPCG(1, uint64(w)))
		wg.Go(func() {
			for range rounds {
				slug := slugs[random.IntN(len(slugs))]
				if err := visit(ctx, f.Store.Pets(slug), slug, random); err != nil {
					failures <- fmt.Errorf("as tenant %q: %w", slug, err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(failures)
	return <-failures
}

func visit(ctx context.Context, pets petstore.Pets, slug tenant.Slug, random *rand.Rand) error {
	var seen []petstore.Pet
	switch random.IntN(4) {
	case 0:
		p, err := pets.Create(ctx, petstore.Pet{Name: slug.String(), Species: "cat"})
		if err != nil {
			return err
		}
		seen = append(seen, p)
	case 1:
		p, err := pets.Change(ctx, "same", func(p *petstore.Pet) error { p.Breed = slug.String(); return nil })
		if err != nil {
			return err
		}
		seen = append(seen, p)
	default:
		page, err := pets.List(ctx, petstore.Query{Limit: 10})
		if err != nil {
			return err
		}
		seen = page.Pets
		if len(seen) == 0 {
			return errors.New("listing: got nothing, expected own pets")
		}
	}
	for _, p := range seen {
		if p.Tenant != slug || p.Name != slug.String() || p.Breed != "" && !strings.EqualFold(p.Breed, slug.String()) {
			return fmt.Errorf("got a foreign pet: %+v", p)
		}
	}
	return nil
}
