package sqlstore

import (
	"sync"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// versions remembers whose tables were seen in the version needed. Versions
// only grow while a program runs, so what was seen once stays true, and the
// usual request asks nothing. It is safe for concurrent use.
type versions struct{ m sync.Map }

type versionKey struct {
	p place
	t tenant.Slug
}

func keyOf(p place, t tenant.Slug) versionKey {
	if p.one() {
		t = tenant.Slug{}
	}
	return versionKey{p, t}
}

func (v *versions) current(p place, t tenant.Slug) bool {
	_, ok := v.m.Load(keyOf(p, t))
	return ok
}

func (v *versions) add(p place, t tenant.Slug) { v.m.Store(keyOf(p, t), struct{}{}) }

// forget is called when a tenant's tables are removed.
func (v *versions) forget(p place, t tenant.Slug) {
	if !p.one() {
		v.m.Delete(keyOf(p, t))
	}
}
