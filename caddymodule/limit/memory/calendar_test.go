package memory_test

import (
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/memory"
)

func TestAMonthsQuotaIsFreshOnItsAnchor(t *testing.T) {
	now := time.Date(2026, 1, 30, 12, 0, 0, 0, time.UTC)
	m := memory.New(memory.Options{Now: func() time.Time { return now }})
	l, err := limit.ParseOne("2/month@31")
	if err != nil {
		t.Fatal(err)
	}
	p, err := limit.NewPolicy([]limit.Limit{l}, limit.Deny)
	if err != nil {
		t.Fatal(err)
	}
	take := func() limit.Decision {
		d, err := m.Take(t.Context(), limit.Key{Tenant: "acme"}, p, 1)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, step := range []struct {
		at        time.Time
		allowed   bool
		remaining int64
	}{
		{now, true, 1},
		{time.Date(2026, 1, 30, 23, 59, 59, 999999000, time.UTC), true, 0},
		{time.Date(2026, 1, 30, 23, 59, 59, 999999000, time.UTC), false, 0},
		{time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC), true, 1},
		{time.Date(2026, 2, 27, 23, 0, 0, 0, time.UTC), true, 0},
		{time.Date(2026, 2, 27, 23, 0, 0, 0, time.UTC), false, 0},
		{time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC), true, 1},
		{time.Date(2026, 3, 30, 23, 0, 0, 0, time.UTC), true, 0},
		{time.Date(2026, 3, 31, 0, 0, 0, 0, time.UTC), true, 1},
	} {
		now = step.at
		if d := take(); d.Allowed != step.allowed || d.States[0].Remaining != step.remaining {
			t.Fatalf("at %s: allowed %t with %d left, expected %t with %d", now, d.Allowed, d.States[0].Remaining, step.allowed, step.remaining)
		}
	}
}
