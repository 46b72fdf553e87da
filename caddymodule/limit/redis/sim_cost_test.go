package redis

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

// TestAnHourlyQuotaIsNearlyFullyUsable compares with an ideal log of every
// request: a limiter that is only safe could refuse everything.
func TestAnHourlyQuotaIsNearlyFullyUsable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		limits    string
		gateways  int
		perSecond float64
		hours     int64
		percent   float64
	}{
		// Demand far above the quota, or below it, loses at most a percent.
		{"1000/1h", 1, 0.2, 12, 99},
		{"1000/1h", 1, 10, 12, 99},
		{"1000/1h", 3, 20, 6, 99},
		{"20000/1h", 3, 100, 4, 99},
		// A demand that always stays a little above the quota is the worst
		// case: what comes back in one step of 5 minutes is used up over the
		// next 5, so that each round begins a step later.
		{"1000/1h", 3, 0.6, 24, 91},
	} {
		t.Run(fmt.Sprintf("%s over %d gateways, %g a second", c.limits, c.gateways, c.perSecond), func(t *testing.T) {
			if raceEnabled && c.perSecond > 1 {
				return
			}
			w := newWorld(t, 1, c.gateways, c.limits)
			w.exact = termsOf(w.policy, DefaultLeaseFrom) == terms{}
			ideal := &idealLog{n: w.policy.Limits[0].N, w: int64(window.IDOf(&w.policy.Limits[0]))}
			end := w.now + c.hours*hour
			for _, g := range w.gates {
				w.load(g, simKey(1), c.perSecond/float64(c.gateways), end, func() int64 {
					ideal.take(w.now)
					return 1
				})
			}
			w.run(end)
			if v := w.violation(); v != "" {
				t.Errorf("%s: %s", c.limits, v)
			}
			used := float64(w.admitted()) / float64(ideal.admitted)
			t.Logf("%s over %d gateways, %g a second: %.2f %% of %d", c.limits, c.gateways, c.perSecond, 100*used, ideal.admitted)
			if 100*used < c.percent {
				t.Errorf("%s over %d gateways: %.2f %% of an ideal log, expected at least %g %%", c.limits, c.gateways, 100*used, c.percent)
			}
		})
	}
}

// idealLog remembers every admission.
type idealLog struct {
	n, w     int64
	times    []int64
	admitted int
}

func (l *idealLog) take(now int64) {
	for len(l.times) > 0 && l.times[0] <= now-l.w {
		l.times = l.times[1:]
	}
	if int64(len(l.times)) < l.n {
		l.times = append(l.times, now)
		l.admitted++
	}
}

// TestCallsStayWithinTheirBudget is the table of docs/ratelimit.md as limits:
// commands to the store per 1000 requests.
func TestCallsStayWithinTheirBudget(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what      string
		limits    string
		gateways  int
		perSecond float64
		requests  int64
		budget    float64
	}{
		{"small quota, one request a minute", "100/1h", 3, 1.0 / 60, 200, 1000},
		{"small quota, 36 times over", "100/1h", 3, 1, 14_400, 40},
		{"1000 an hour, 3.6 times over", "1000/1h", 3, 1, 4000, 290},
		{"10000 an hour, 18 times over", "10000/1h", 3, 50, 180_000, 2},
		{"100000 an hour, steady 27 a second, one gateway", "100000/1h", 1, 27, 97_000, 8},
		{"100000 an hour, steady 27 a second, three gateways", "100000/1h", 3, 27, 97_000, 20},
		{"100000 an hour, 200 a second", "100000/1h", 3, 200, 200_000, 3},
		{"100000 an hour, 2000 a second", "100000/1h", 3, 2000, 1_000_000, 0.3},
		{"a flood of refusals", "1000/1h", 3, 5000, 500_000, 5},
	} {
		t.Run(c.what, func(t *testing.T) {
			if raceEnabled && c.requests > 100_000 {
				return
			}
			w := newWorld(t, 1, c.gateways, c.limits)
			w.exact = termsOf(w.policy, DefaultLeaseFrom) == terms{}
			end := w.now + int64(float64(c.requests)/c.perSecond*window.Second)
			for _, g := range w.gates {
				w.load(g, simKey(1), c.perSecond/float64(c.gateways), end, func() int64 { return 1 })
			}
			w.run(end)
			per := 1000 * float64(w.calls+w.returns) / float64(w.requests)
			t.Logf("%-52s %8.2f calls per 1000 requests (%d requests, %d admitted)", c.what, per, w.requests, w.admitted())
			if per > c.budget {
				t.Errorf("%s: %.2f calls per 1000 requests, expected at most %g", c.what, per, c.budget)
			}
			if v := w.violation(); v != "" {
				t.Errorf("%s: %s", c.what, v)
			}
		})
	}
}

// retryAfter is the wait in seconds that a refusal tells.
func retryAfter(t testing.TB, p *limit.Policy, d limit.Decision) int64 {
	t.Helper()
	h := make(http.Header)
	limit.WriteHeaders(h, p, d)
	n, err := strconv.ParseInt(h.Get("Retry-After"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestHeadersTellTheTruth follows what clients are told against what is true.
func TestHeadersTellTheTruth(t *testing.T) {
	t.Run("one gateway counts down without gaps", func(t *testing.T) {
		w := newWorld(t, 1, 1, "20000/1h")
		g, next := w.gates[0], int64(19_999)
		told := func(d limit.Decision, err error) {
			if err != nil || !d.Allowed {
				return
			}
			if got := d.States[0].Remaining; got != next {
				t.Fatalf("told %d are left, expected %d", got, next)
			}
			next--
		}
		for i := range int64(25_000) {
			w.after(i*1000, func() { g.request(simKey(1), 1, told) })
		}
		w.run(w.now + 60*window.Second)
		if next != -1 {
			t.Fatalf("ended with %d left, expected 0", next+1)
		}
	})
	t.Run("who honours Retry-After is not refused for nothing", func(t *testing.T) {
		w := newWorld(t, 3, 3, "20000/1h")
		for _, g := range w.gates {
			w.load(g, simKey(1), 100, w.now+200*window.Second, func() int64 { return 1 })
		}
		w.run(w.now + 220*window.Second)
		refusals, waited := 0, 0
		for round := range 3 {
			for _, g := range w.gates {
				g.request(simKey(1), 1, func(d limit.Decision, err error) {
					if err != nil {
						t.Fatal(err)
					}
					if d.Allowed {
						return
					}
					refusals++
					if d.States[0].Remaining != 0 {
						t.Errorf("refused with %d left", d.States[0].Remaining)
					}
					seconds := retryAfter(t, w.policy, d)
					w.after(seconds*window.Second, func() {
						g.request(simKey(1), 1, func(again limit.Decision, err error) {
							if err != nil || !again.Allowed {
								t.Errorf("round %d: refused after waiting %d s as told: %v", round, seconds, err)
							}
							waited++
						})
					})
				})
			}
			w.run(w.now + 61*60*window.Second)
		}
		if refusals == 0 || waited != refusals {
			t.Fatalf("%d refusals, of which %d came back", refusals, waited)
		}
	})
	t.Run("small quotas are exact over several gateways", func(t *testing.T) {
		w := newWorld(t, 5, 3, "500/1h")
		w.exact = true
		next := int64(499)
		for i := range 600 {
			w.after(int64(i)*5000, func() {
				w.gates[w.rng.IntN(3)].request(simKey(1), 1, func(d limit.Decision, err error) {
					if err != nil || d.Allowed != (next >= 0) {
						t.Fatalf("allowed %t with %d left: %v", d.Allowed, next+1, err)
					}
					if d.Allowed && d.States[0].Remaining != next {
						t.Fatalf("told %d are left, expected %d", d.States[0].Remaining, next)
					}
					next = max(next-1, -1)
				})
			})
		}
		w.run(w.now + 60*window.Second)
		if next != -1 {
			t.Fatalf("ended with %d left", next+1)
		}
	})
	t.Run("leased quotas are nearly true over several gateways", func(t *testing.T) {
		w := newWorld(t, 5, 3, "100000/1h")
		n := w.policy.Limits[0].N
		for _, g := range w.gates {
			var tell func()
			tell = func() {
				g.request(simKey(1), 1, func(d limit.Decision, err error) {
					if err != nil {
						t.Fatal(err)
					}
					// Each of the other gateways may hold a lease, and may have
					// got another one since this one last asked.
					left, off := n-w.admitted(), 3*n/100
					if got := d.States[0].Remaining; d.Allowed && (got > left+off || got < left-off) {
						t.Errorf("told %d are left of %d, expected at most %d off", got, left, off)
					}
				})
				w.after(30_000+w.rng.Int64N(1000), tell)
			}
			w.after(0, tell)
		}
		w.run(w.now + 120*window.Second)
	})
}
