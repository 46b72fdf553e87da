package redis

import (
	"math"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

// load sends requests at a rate per second until an instant, with random gaps.
func (w *world) load(g *simGateway, key limit.Key, perSecond float64, until int64, cost func() int64) {
	if w.now >= until {
		return
	}
	gap := int64(-math.Log(1-w.rng.Float64()) / perSecond * window.Second)
	w.after(gap, func() {
		g.request(key, cost(), nil)
		w.load(g, key, perSecond, until, cost)
	})
}

func (w *world) randomCost() int64 {
	if w.rng.IntN(8) == 0 {
		return 1 + w.rng.Int64N(9)
	}
	return 1
}

var chaosPolicies = [][2]string{
	{"300/3m", "450/3m"},
	{"900/10m 200/1m", "600/10m 100/1m"},
	{"200/3m tenant:350/3m", "300/3m tenant:300/3m"},
	{"40/2s", "20/2s"},
	{"5000/1h 20/1s", "500/1h 20/1s"},
	{"4000/3m tenant:6000/5m", "5000/3m tenant:6000/5m"},
}

// chaos runs one random history.
func chaos(t testing.TB, seed uint64, m mutant) (*world, *limit.Policy) {
	plans := chaosPolicies[seed%uint64(len(chaosPolicies))]
	w := newWorld(t, seed, 1+int(seed/3%10), plans[0])
	other := simPolicy(t, plans[1])
	w.mutant = m
	first := w.policy
	longest, quota := int64(0), int64(0)
	for _, l := range w.policy.Limits {
		if id := int64(window.IDOf(&l)); id > longest {
			longest, quota = id, l.N
		}
	}
	w.loss = []float64{0, 0.02, 0.2}[w.rng.IntN(3)]
	w.twice = []float64{0, 0.1}[w.rng.IntN(2)]
	slow := max(w.terms(w.policy).hold, 100_000)
	w.delay = func() int64 {
		switch w.rng.IntN(20) {
		case 0:
			return w.rng.Int64N(slow)
		case 1, 2:
			return w.rng.Int64N(25_000)
		}
		return 100 + w.rng.Int64N(800)
	}
	end := w.now + 4*longest
	for range 10 {
		at := w.rng.Int64N(end - w.now)
		g := w.gates[w.rng.IntN(len(w.gates))]
		switch w.rng.IntN(4) {
		case 0:
			w.after(at, g.crash)
		case 1:
			w.after(at, func() { g.cut = true })
			w.after(at+w.rng.Int64N(longest/4), func() { g.cut = false })
		case 2:
			w.after(at, func() { w.policy = other })
			w.after(at+w.rng.Int64N(longest), func() { w.policy = first })
		case 3:
			w.after(at, func() {
				burst := 1 + w.rng.IntN(200)
				for range burst {
					g.request(simKey(w.rng.IntN(2)), w.randomCost(), nil)
				}
			})
		}
	}
	perSecond := 1.5 * float64(quota) / (float64(longest) / window.Second) / float64(len(w.gates))
	for _, g := range w.gates {
		for k := range 2 {
			w.load(g, simKey(k), perSecond*(0.2+w.rng.Float64()*2), end, w.randomCost)
		}
	}
	w.run(end)
	w.policy = first
	return w, other
}

func seeds(t testing.TB, n uint64) uint64 {
	if testing.Short() || raceEnabled {
		return n / 6
	}
	return n
}

func TestNoWindowEverHoldsMoreThanTheQuota(t *testing.T) {
	t.Parallel()
	requests, admitted := 0, int64(0)
	for seed := range seeds(t, 18) {
		w, other := chaos(t, seed, sound)
		if v := w.violation(other); v != "" {
			t.Fatalf("seed %d: %s", seed, v)
		}
		if w.admitted() == 0 {
			t.Fatalf("seed %d: nothing was admitted", seed)
		}
		requests += w.requests
		admitted += w.admitted()
	}
	t.Logf("%d requests, cost of %d admitted", requests, admitted)
}

func TestTheAdversaryGainsNothing(t *testing.T) {
	t.Parallel()
	for seed := range seeds(t, 240) {
		w := adversary(t, seed, sound)
		if v := w.violation(); v != "" {
			t.Fatalf("seed %d: %s", seed, v)
		}
	}
}

// TestBrokenVariantsAreCaught keeps the checks honest: whoever weakens them
// finds a broken variant alive.
func TestBrokenVariantsAreCaught(t *testing.T) {
	t.Parallel()
	for m, name := range mutantNames {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(150) {
				if v := adversary(t, seed, m).violation(); v != "" {
					t.Logf("seed %d of the adversary: %s", seed, v)
					return
				}
			}
			t.Error("nothing noticed it")
		})
	}
	if len(mutantNames) != int(forgetAfterWindow) {
		t.Errorf("%d broken variants are named, expected %d", len(mutantNames), forgetAfterWindow)
	}
}

// A store that loses everything once can grant the quota once more, and no
// more than that: returns of what was charged before must not add to it.
func TestAStoreThatForgetsAdmitsAtMostTheQuotaOnceMore(t *testing.T) {
	for seed := range seeds(t, 30) {
		w := newWorld(t, seed, 3, "2000/3m")
		end := w.now + 12*60*window.Second
		for _, g := range w.gates {
			w.load(g, simKey(1), 20, end, func() int64 { return 1 })
		}
		w.after(w.rng.Int64N(6*60*window.Second), w.lose)
		w.run(end)
		if most, _ := worst(w.admissions[simKey(1)], 3*60*window.Second); most > 2*2000 {
			t.Fatalf("seed %d: %d of 2000 in one window around the loss", seed, most)
		}
	}
}
