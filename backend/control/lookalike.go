package control

import (
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// skeletons fold characters that look alike in common fonts. A slug is ASCII
// already, so these few are all there are (Unicode TR 39 has the idea of a
// skeleton). Hyphens stay: "ab-c" and "abc" do not look alike.
var skeletons = strings.NewReplacer("0", "o", "1", "l", "i", "l", "rn", "m", "vv", "w", "5", "s")

// skeleton is what a slug looks like at a glance. Two tenants with one
// skeleton could be taken for each other, so the catalog keeps it unique.
func skeleton(s tenant.Slug) string { return skeletons.Replace(s.String()) }

// disguises spell reserved words with digits.
var disguises = []*strings.Replacer{
	strings.NewReplacer("0", "o", "1", "i", "5", "s", "3", "e", "4", "a", "rn", "m", "vv", "w"),
	strings.NewReplacer("0", "o", "1", "l", "5", "s", "3", "e", "4", "a", "rn", "m", "vv", "w"),
}

// looksReserved reports whether the slug could be read as a word that no
// tenant may have.
func looksReserved(s tenant.Slug) bool {
	for _, d := range disguises {
		if _, err := tenant.ParseSlug(d.Replace(s.String())); err != nil {
			return true
		}
	}
	return false
}
