package redis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redistest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

// clocked returns a script whose clock is a key and whose state does not
// expire in real time, so that a history of months runs in seconds.
func clocked(t testing.TB, source string) *goredis.Script {
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
	return goredis.NewScript(source)
}

type differential struct {
	t       testing.TB
	client  *goredis.Client
	acquire *goredis.Script
	giving  *goredis.Script
	now     int64
	clients map[limit.Key]*window.Counter
	tenants map[string]*window.Counter
}

func newDifferential(t testing.TB) *differential {
	d := &differential{
		t: t, client: redistest.Start(t).Client(),
		acquire: clocked(t, commonSource+acquireSource),
		giving:  clocked(t, commonSource+returnSource),
		now:     1_769_903_880_000_000, // 2026-01-31T23:58:00Z
		clients: map[limit.Key]*window.Counter{}, tenants: map[string]*window.Counter{},
	}
	t.Cleanup(func() { d.client.Close() })
	return d
}

func (d *differential) counters(key limit.Key) *window.Counters {
	if d.clients[key] == nil {
		d.clients[key] = new(window.Counter)
	}
	if d.tenants[key.Tenant] == nil {
		d.tenants[key.Tenant] = new(window.Counter)
	}
	return &window.Counters{limit.PerClient: d.clients[key], limit.PerTenant: d.tenants[key.Tenant]}
}

func (d *differential) run(s *goredis.Script, keys []string, args ...any) any {
	d.t.Helper()
	ctx := context.Background()
	d.client.HSet(ctx, "clock", "s", d.now/window.Second, "us", d.now%window.Second)
	raw, err := s.Run(ctx, d.client, keys, args...).Result()
	if err != nil {
		d.t.Fatalf("running the script: %v", err)
	}
	return raw
}

// grant is what can be given back later.
type grant struct {
	key  limit.Key
	p    *limit.Policy
	n    int64
	at   int64
	hold int64
	inc  [2]int64
}

func (d *differential) ask(key limit.Key, p *limit.Policy, a window.Ask) (window.Verdict, grant) {
	d.t.Helper()
	var inGo, inLua window.Verdict
	window.Decide(p, d.counters(key), d.now, a, &inGo)
	inc, err := parseAcquire(p, d.run(d.acquire, acquireKeys("d", key, p), acquireArgs(p, a, new(slotBook), slotClaim{})...), &inLua)
	if err != nil {
		d.t.Fatal(err)
	}
	if inGo != inLua {
		d.t.Fatalf("at %d, %+v of %+v under %v:\n  Go  %+v\n  Lua %+v", d.now, a, key, p.Limits, inGo, inLua)
	}
	return inGo, grant{key, p, inGo.Granted + inGo.Extra, inGo.Now, a.Hold, inc}
}

func (d *differential) giveBack(g grant, n int64) {
	d.t.Helper()
	window.GiveBack(g.p, d.counters(g.key), d.now, g.at, g.hold, n)
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
	policies := make([]*limit.Policy, len(differentialPolicies))
	for i, s := range differentialPolicies {
		limits, err := limit.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		if policies[i], err = limit.NewPolicy(limits, limit.Deny); err != nil {
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
			d.now += rng.Int64N(40 * day / 10)
		case 1, 2:
			d.now += rng.Int64N(20 * 60 * window.Second)
		case 3, 4, 5:
			d.now += rng.Int64N(3 * window.Second)
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
		key := limit.Key{
			Tenant: fmt.Sprintf("t%d", rng.IntN(3)),
			Client: netip.AddrFrom4([4]byte{192, 0, 2, byte(rng.IntN(3))}),
		}
		p := policies[(int(key.Tenant[1])*5+step/400)%len(policies)]
		if rng.IntN(10) == 0 {
			p = policies[rng.IntN(len(policies))]
		}
		a := window.Ask{Unit: 1 + rng.Int64N(4)*rng.Int64N(2)}
		a.Need = a.Unit * rng.Int64N(4)
		a.Want = a.Need + rng.Int64N(60)*rng.Int64N(2)
		a.Hold = rng.Int64N(20*window.Second) * rng.Int64N(2)
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
	limits, err := limit.Parse("3/1m tenant:100/1h")
	if err != nil {
		t.Fatal(err)
	}
	p, err := limit.NewPolicy(limits, limit.Deny)
	if err != nil {
		t.Fatal(err)
	}
	key := limit.Key{Tenant: "acme"}
	start := d.now
	one := window.Ask{Need: 1, Unit: 1, Want: 1}
	d.ask(key, p, one)
	for range 3 {
		d.now -= hour
		v, _ := d.ask(key, p, one)
		if v.Now != start {
			t.Fatalf("decided at %d, expected time to stand still at %d", v.Now, start)
		}
	}
	d.now = start + 59*window.Second
	if v, _ := d.ask(key, p, one); v.Granted != 0 {
		t.Fatal("admitted a fourth request within the minute")
	}
}
