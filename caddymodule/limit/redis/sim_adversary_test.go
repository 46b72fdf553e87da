package redis

import (
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

// adversary knows the algorithm and aims at its seams: it lets a gateway get a
// lease of many permits over a slow network, spends them at the last moment, lets
// others fill the same cells, and floods through another gateway just as the
// charges expire. Which seam it aims at depends on the seed.
func adversary(t testing.TB, seed uint64, m mutant) *world {
	w := newWorld(t, seed, 3, "1000/3m")
	w.mutant = m
	a := &plot{
		world: w, key: simKey(1), hold: w.terms(w.policy).hold, length: int64(window.IDOf(&w.policy.Limits[0])),
		hoarder: w.gates[0], filler: w.gates[1], flooder: w.gates[2],
	}
	w.delay = func() int64 {
		if a.slow {
			return a.hold/4 + w.rng.Int64N(a.hold/5)
		}
		return 50 + w.rng.Int64N(300)
	}
	aims := []func(start int64){a.anywhere, a.slowReply, a.lateReturn, a.lastMoment}
	start := int64(0)
	for range 3 {
		aims[seed%4](start)
		start += a.length + 5*a.hold
		start += a.length/12 - start%(a.length/12)
	}
	w.run(w.now + start + a.length)
	return w
}

// plot is what the adversary works with.
type plot struct {
	*world
	key                      limit.Key
	hold, length             int64
	hoarder, filler, flooder *simGateway
	slow                     bool
}

// at plans a request of some cost.
func (a *plot) at(when int64, g *simGateway, cost int64) {
	a.after(when, func() { g.request(a.key, cost, nil) })
}

// slowly makes messages slow that are sent in an interval.
func (a *plot) slowly(from, to int64) {
	a.after(from, func() { a.slow = true })
	a.after(to, func() { a.slow = false })
}

// hoard gets a lease into the hoarder's cache: the request it was granted for
// gives up before the slow reply arrives.
func (a *plot) hoard(when int64) (size int64) {
	size = 50 + a.rng.Int64N(250)
	a.at(when, a.hoarder, size)
	a.slowly(when+20, when+a.hold/50)
	return size
}

// flood takes whatever there is.
func (a *plot) flood(from, to int64) {
	for when := from; when < to; when += a.hold / 300 {
		a.at(when, a.flooder, 1+a.rng.Int64N(300))
		a.at(when, a.flooder, 1)
	}
}

// anywhere varies all of it.
func (a *plot) anywhere(start int64) {
	a.lazy = a.rng.IntN(2) == 0
	start += a.rng.Int64N(a.length / 12)
	size := a.hoard(start)
	a.at(start+a.rng.Int64N(3*a.hold/2), a.filler, 1+a.rng.Int64N(400))
	for _, percent := range []int64{85, 97, 99, 120, 140} {
		a.at(start+a.hold*percent/100, a.hoarder, 1+a.rng.Int64N(size))
	}
	a.flood(start+a.length+a.rng.Int64N(5*a.hold/4)-a.hold/10, start+a.length+3*a.hold)
}

// slowReply spends between the end of the hold as the store counts it and its
// end as a gateway would that counted from the reply.
func (a *plot) slowReply(start int64) {
	a.lazy = true
	size := a.hoard(start)
	for percent := int64(101); percent < 150; percent += 4 {
		a.at(start+a.hold*percent/100, a.hoarder, size/10)
	}
	a.flood(start+a.length+a.hold, start+a.length+2*a.hold)
}

// lateReturn lets permits come back when a newer cell is the latest, whose own
// permits are spent after those of the cell they were charged to have lapsed.
func (a *plot) lateReturn(start int64) {
	a.lazy = false
	start += a.length/12 - a.hold - a.hold/3 // the cell ends before the return
	size := a.hoard(start)
	a.slowly(start+a.hold*85/100, start+a.hold*95/100)
	a.at(start+a.hold*105/100, a.filler, size+a.rng.Int64N(200))
	a.flood(start+a.length+a.hold, start+a.length+2*a.hold)
}

// lastMoment spends a lease at the end of its hold, and floods as soon as the
// window without the hold has passed since anything was charged.
func (a *plot) lastMoment(start int64) {
	a.lazy = true
	size := a.hoard(start)
	for range 10 {
		a.at(start+a.hold*95/100, a.hoarder, size/10)
	}
	a.flood(start+a.length+a.hold/100, start+a.length+a.hold*9/10)
}
