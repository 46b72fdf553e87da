package ratelimit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit/redistest"
)

// clocked returns a script whose clock is a key and whose state does not
// expire in real time, so that a history of months runs in seconds.
func clocked(t testing.TB, source string) *redis.Script {
	t.Helper()
	for _, r := range [][2]string{
		{"redis.call('TIME')", "{redis.call('HGET', 'clock', 's'), redis.call('HGET', 'clock', 'us')}"},
		{"'PX', floor((latest - now) / 1000) + 1)", "'PX', 1000000000)"},
	} {
		if strings.Count(source, r[0]) != 1 {
			t.Fatalf("the script holds %q %d times, expected once", r[0], strings.Count(source, r[0]))
		}
		source = strings.Replace(source, r[0], r[1], 1)
	}
	return redis.NewScript(source)
}

type differential struct {
	t       testing.TB
	client  *redis.Client
	acquire *redis.Script
	giving  *redis.Script
	now     int64
	clients map[Key]*account
	tenants map[string]*account
}

func newDifferential(t testing.TB) *differential {
	d := &differential{
		t: t, client: redistest.Start(t).Client(),
		acquire: clocked(t, commonSource+acquireSource),
		giving:  clocked(t, commonSource+returnSource),
		now:     1_769_903_880_000_000, // 2026-01-31T23:58:00Z
		clients: map[Key]*account{}, tenants: map[string]*account{},
	}
	t.Cleanup(func() { d.client.Close() })
	return d
}

func (d *differential) accounts(key Key) *[2]*account {
	if d.clients[key] == nil {
		d.clients[key] = new(account)
	}
	if d.tenants[key.Tenant] == nil {
		d.tenants[key.Tenant] = new(account)
	}
	return &[2]*account{PerClient: d.clients[key], PerTenant: d.tenants[key.Tenant]}
}

func (d *differential) run(s *redis.Script, keys []string, args ...any) any {
	d.t.Helper()
	ctx := context.Background()
	d.client.HSet(ctx, "clock", "s", d.now/microsPerSecond, "us", d.now%microsPerSecond)
	raw, err := s.Run(ctx, d.client, keys, args...).Result()
	if err != nil {
		d.t.Fatalf("running the script: %v", err)
	}
	return raw
}

// grant is what can be given back later.
type grant struct {
	key  Key
	p    *Policy
	n    int64
	at   int64
	hold int64
	inc  [2]int64
}

func (d *differential) ask(key Key, p *Policy, a ask) (verdict, grant) {
	d.t.Helper()
	var inGo, inLua verdict
	decide(p, d.accounts(key), d.now, a, &inGo)
	inc, err := parseAcquire(p, d.run(d.acquire, acquireKeys("d", key, p), acquireArgs(p, a, "")...), &inLua)
	if err != nil {
		d.t.Fatal(err)
	}
	if inGo != inLua {
		d.t.Fatalf("at %d, %+v of %+v under %v:\n  Go  %+v\n  Lua %+v", d.now, a, key, p.Limits, inGo, inLua)
	}
	return inGo, grant{key, p, inGo.granted + inGo.extra, inGo.now, a.hold, inc}
}

func (d *differential) giveBack(g grant, n int64) {
	d.t.Helper()
	giveBack(g.p, d.accounts(g.key), d.now, g.at, g.hold, n)
	d.run(d.giving, acquireKeys("d", g.key, g.p), returnArgs(g.p, n, g.at, g.hold, g.inc)...)
}

var differentialPolicies = []string{
	"100/1h", "20/1h", "7/1m 30/1h", "5/1s 50/1m 400/1d", "10/1s", "1000/30d", "60/1h tenant:90/1h",
	"tenant:40/10m", "8/1m tenant:12/1m tenant:100/1d", "50/calendar-hour", "9/1m 70/calendar-day tenant:90/month",
	"200/month@31 tenant:300/month@29", "90/2h", "300/1d 45/1h", "5000/month 5000/calendar-hour 5000/1h 5000/1m",
}

func TestScriptAndGoDecideAlike(t *testing.T) {
	t.Parallel()
	d := newDifferential(t)
	policies := make([]*Policy, len(differentialPolicies))
	for i, s := range differentialPolicies {
		limits, err := ParseLimits(s)
		if err != nil {
			t.Fatal(err)
		}
		if policies[i], err = NewPolicy(limits, Deny); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	steps := 6000
	if testing.Short() {
		steps = 2000
	}
	var grants []grant
	for step := range steps {
		switch rng.IntN(12) {
		case 0:
			d.now += rng.Int64N(40 * microsPerDay / 10)
		case 1, 2:
			d.now += rng.Int64N(20 * 60 * microsPerSecond)
		case 3, 4, 5:
			d.now += rng.Int64N(3 * microsPerSecond)
		case 6:
			d.now++
		}
		if len(grants) > 0 && rng.IntN(5) == 0 {
			i := rng.IntN(len(grants))
			g := grants[i]
			grants = append(grants[:i], grants[i+1:]...)
			d.giveBack(g, 1+rng.Int64N(g.n))
			continue
		}
		// A key mostly stays with a plan and sometimes changes it.
		key := Key{
			Tenant: fmt.Sprintf("t%d", rng.IntN(3)),
			Client: netip.AddrFrom4([4]byte{192, 0, 2, byte(rng.IntN(3))}),
		}
		p := policies[(int(key.Tenant[1])*5+step/400)%len(policies)]
		if rng.IntN(10) == 0 {
			p = policies[rng.IntN(len(policies))]
		}
		a := ask{unit: 1 + rng.Int64N(4)*rng.Int64N(2)}
		a.need = a.unit * rng.Int64N(4)
		a.want = a.need + rng.Int64N(60)*rng.Int64N(2)
		a.hold = rng.Int64N(20*microsPerSecond) * rng.Int64N(2)
		if _, g := d.ask(key, p, a); g.n > 0 {
			grants = append(grants, g)
		}
		if len(grants) > 40 {
			grants = grants[20:]
		}
	}
}

func TestAClockSetBackForgetsNothing(t *testing.T) {
	d := newDifferential(t)
	limits, err := ParseLimits("3/1m tenant:100/1h")
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPolicy(limits, Deny)
	if err != nil {
		t.Fatal(err)
	}
	key := Key{Tenant: "acme"}
	start := d.now
	one := ask{need: 1, unit: 1, want: 1}
	d.ask(key, p, one)
	for range 3 {
		d.now -= 3600 * microsPerSecond
		v, _ := d.ask(key, p, one)
		if v.now != start {
			t.Fatalf("decided at %d, expected time to stand still at %d", v.now, start)
		}
	}
	d.now = start + 59*microsPerSecond
	if v, _ := d.ask(key, p, one); v.granted != 0 {
		t.Fatal("admitted a fourth request within the minute")
	}
}
