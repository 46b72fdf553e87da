package redis

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

// worst returns the largest cost admitted in any interval (t-w, t].
func worst(list []admission, w int64) (most, at int64) {
	slices.SortStableFunc(list, func(a, b admission) int { return cmp.Compare(a.at, b.at) })
	sum, tail := int64(0), 0
	for _, a := range list {
		sum += a.cost
		for list[tail].at <= a.at-w {
			sum -= list[tail].cost
			tail++
		}
		if sum > most {
			most, at = sum, a.at
		}
	}
	return most, at
}

// violation checks every window of every limit, for the largest quotas that
// were in force, and describes the first excess.
func (w *world) violation(policies ...*limit.Policy) string {
	var all []admission
	for _, list := range w.admissions {
		all = append(all, list...)
	}
	quota := map[[2]int64]int64{}
	for _, p := range append(policies, w.policy) {
		for i := range p.Limits {
			l := &p.Limits[i]
			id := [2]int64{int64(l.Level), int64(window.IDOf(l))}
			quota[id] = max(quota[id], l.N)
		}
	}
	for id, n := range quota {
		if limit.Level(id[0]) == limit.PerTenant {
			if most, at := worst(all, id[1]); most > n {
				return fmt.Sprintf("tenant: %d of %d in %d s before %d", most, n, id[1]/window.Second, at-simStart)
			}
			continue
		}
		for key, list := range w.admissions {
			if most, at := worst(list, id[1]); most > n {
				return fmt.Sprintf("%s: %d of %d in %d s before %d", key.Client, most, n, id[1]/window.Second, at-simStart)
			}
		}
	}
	return ""
}

func (w *world) admitted() (n int64) {
	for _, list := range w.admissions {
		for _, a := range list {
			n += a.cost
		}
	}
	return n
}
