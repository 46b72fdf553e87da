package registry

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// What the hashes say is what a map of the names says.
func TestContestedNamesAreNoticed(t *testing.T) {
	found := 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 6))
		var entries []entry
		names, want := map[string]bool{}, false
		claims := func(kind, name string) string {
			want = want || names[kind+name]
			names[kind+name] = true
			return name
		}
		for range rng.IntN(12) {
			e := entry{t: &tenant.Tenant{}}
			e.t.Slug = slug(claims("slug ", fmt.Sprint("t", rng.IntN(200))))
			e.t.ID = claims("id ", fmt.Sprint("t", rng.IntN(200)))
			for range rng.IntN(3) {
				e.t.Hosts = append(e.t.Hosts, claims("host ", fmt.Sprint("t", rng.IntN(200))))
			}
			entries = append(entries, e)
		}
		if want {
			found++
		}
		if got := contested(entries); got != want {
			t.Fatalf("seed %d: contested = %v, want %v", seed, got, want)
		}
	}
	if found < 30 || found > 270 {
		t.Errorf("%d of 300 were contested", found)
	}
}
