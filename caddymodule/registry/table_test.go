package registry

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// The table must do what a map does, and must go on doing what it did before an
// edit for those who hold the old one.
func TestATableIsAMapAndAnEditLeavesTheOldOneAlone(t *testing.T) {
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 1))
		model := map[string]*tenant.Tenant{}
		tb := newEdit(rng.IntN(100), ownsHost).done()
		for range 30 {
			oldModel, old := map[string]*tenant.Tenant{}, tb
			for k, v := range model {
				oldModel[k] = v
			}
			e := tb.edit()
			for range rng.IntN(400) {
				name := fmt.Sprintf("%d.example", rng.IntN(600))
				if rng.IntN(3) == 0 { // too long for a slot
					name = strings.Repeat("x", 20+rng.IntN(30)) + name
				}
				if known := model[name]; known != nil && rng.IntN(2) == 0 {
					e.remove(name, known)
					delete(model, name)
				} else {
					owner := &tenant.Tenant{Hosts: []string{name}}
					e.put(name, owner)
					model[name] = owner
				}
			}
			if rng.IntN(6) == 0 {
				for name, owner := range model {
					e.remove(name, owner)
					delete(model, name)
				}
			}
			tb = e.done()
			compareTable(t, tb, model)
			compareTable(t, old, oldModel)
		}
	}
}

func compareTable(t *testing.T, tb *table, model map[string]*tenant.Tenant) {
	t.Helper()
	if tb.live != len(model) {
		t.Fatalf("%d names, want %d", tb.live, len(model))
	}
	for name, want := range model {
		if tb.get(name) != want {
			t.Fatalf("%q is lost", name)
		}
	}
	for i := range 600 {
		if name := fmt.Sprintf("%d.example", i); model[name] == nil && tb.get(name) != nil {
			t.Fatalf("%q is found", name)
		}
	}
	n := 0
	for range tb.all() {
		n++
	}
	if n != len(model) {
		t.Fatalf("all yields %d, want %d", n, len(model))
	}
}

func TestRemovingANameThatAnotherHasTakenDoesNothing(t *testing.T) {
	a, b := &tenant.Tenant{Hosts: []string{"x.example"}}, &tenant.Tenant{Hosts: []string{"x.example"}}
	e := newEdit(1, ownsHost)
	e.put("x.example", a)
	e.put("x.example", b)
	e.remove("x.example", a)
	if tb := e.done(); tb.get("x.example") != b || tb.live != 1 {
		t.Errorf("got %v, %d live", tb.get("x.example"), tb.live)
	}
}

func TestATableShrinksAndGrows(t *testing.T) {
	e := newEdit(0, ownsSlug)
	var all []*tenant.Tenant
	for i := range 10_000 {
		t := &tenant.Tenant{Slug: tenant.MustSlug(fmt.Sprintf("t%d", i))}
		all = append(all, t)
		e.put(t.Slug.String(), t)
	}
	big := e.done()
	e = big.edit()
	for _, t := range all[10:] {
		e.remove(t.Slug.String(), t)
	}
	small := e.done()
	if big.slots() < 10_000 || big.slots() > 20_000 || small.slots() > pageSlots || small.live != 10 || small.dead != 0 {
		t.Errorf("%d slots for 10000 names, %d for 10 (%d live, %d dead)", big.slots(), small.slots(), small.live, small.dead)
	}
}
