package limitertest

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
)

func quotaThenRefusal(f *fixture) {
	p := f.policy("5/1h")
	for left := int64(4); left >= 0; left-- {
		d := f.admit(p, 1, left)
		f.about("the time to additional quota", d.States[0].Reset, time.Hour)
	}
	d := f.refuse(p, 1, 0)
	f.about("RetryAfter", d.RetryAfter, time.Hour)
	if !d.States[0].Violated || d.States[0].Reset != d.RetryAfter {
		f.Fatalf("state of the refusing limit is %+v", d.States[0])
	}
}

func waitAsTold(f *fixture) {
	p := f.policy("3/1h")
	for range 3 {
		f.admit(p, 1)
		f.clock.Advance(7 * time.Minute)
	}
	for range 5 {
		d := f.refuse(p, 1)
		f.clock.Advance(d.RetryAfter - slack)
		f.refuse(p, 1)
		f.clock.Advance(slack)
		f.admit(p, 1)
	}
}

func refusalDebitsNothing(f *fixture) {
	p := f.policy("2/1h")
	f.admit(p, 2, 0)
	f.clock.Advance(30 * time.Minute)
	for range 50 {
		f.refuse(p, 1, 0)
	}
	d := f.refuse(p, 1)
	f.about("RetryAfter", d.RetryAfter, 30*time.Minute)
	f.clock.Advance(d.RetryAfter)
	f.admit(p, 1, 1)
}

// neverMoreInAnyWindow spends the quota at the end of one hour and tries again
// at the start of the next, where aligned windows, token buckets with a full
// burst and weighted counters all admit up to twice the quota.
func neverMoreInAnyWindow(f *fixture) {
	p := f.policy("100/1h")
	for step := range 12 {
		f.clock.Advance(5 * time.Minute)
		for range step {
			f.admit(p, 1)
		}
	}
	f.clock.Advance(4 * time.Minute)
	f.admit(p, 34, 0) // 66 + 34, most of them in the last minutes
	for range 11 {
		f.clock.Advance(time.Minute)
		d := f.take(p, 60)
		if d.Allowed {
			f.Fatalf("admitted 60 more within the hour")
		}
	}
}

func comesBackInSteps(f *fixture) {
	p := f.policy("12/1h")
	for range 12 {
		f.admit(p, 1)
		f.clock.Advance(5 * time.Minute)
	}
	// An hour has passed since the first charge. Each charge is back at most
	// a twelfth of the window after it left.
	f.clock.Advance(5*time.Minute + slack)
	d := f.take(p, 1)
	if !d.Allowed || d.States[0].Remaining > 3 {
		f.Fatalf("an hour after the first of twelve charges: %+v", d.States[0])
	}
}

func allOrNothing(f *fixture) {
	p := f.policy("10/1h 2/1m")
	f.admit(p, 1, 9, 1)
	f.admit(p, 1, 8, 0)
	for range 20 {
		d := f.refuse(p, 1, 8, 0)
		if d.States[0].Violated || !d.States[1].Violated {
			f.Fatalf("violated limits: %v, expected only the minute", p.Violated(d))
		}
		f.about("RetryAfter", d.RetryAfter, time.Minute)
	}
	f.clock.Advance(time.Minute)
	f.admit(p, 1, 7, 1)
}

func everyViolatedLimitIsNamed(f *fixture) {
	p := f.policy("3/1h 3/1m 100/1d")
	f.admit(p, 3, 0, 0, 97)
	d := f.refuse(p, 1, 0, 0, 97)
	if got := strings.Join(p.Violated(d), " "); got != "hour minute" {
		f.Fatalf("violated limits are %q", got)
	}
	f.about("RetryAfter", d.RetryAfter, time.Hour)
}

func levels(f *fixture) {
	p := f.policy("3/1h tenant:5/1h")
	one, two, other := Client("acme", "192.0.2.1"), Client("acme", "192.0.2.2"), Client("other", "192.0.2.1")
	for i := range int64(3) {
		f.left(f.takeAs(one, p, 1), 2-i, 4-i)
	}
	d := f.takeAs(one, p, 1)
	if d.Allowed || !d.States[0].Violated || d.States[1].Violated {
		f.Fatalf("fourth request of a client of three: %+v", d.States[:2])
	}
	f.left(f.takeAs(two, p, 1), 2, 1)
	f.left(f.takeAs(two, p, 1), 1, 0)
	d = f.takeAs(two, p, 1)
	if d.Allowed || d.States[0].Violated || !d.States[1].Violated {
		f.Fatalf("sixth request of a tenant of five: %+v", d.States[:2])
	}
	f.left(f.takeAs(other, p, 1), 2, 4)
}

func keysAreApart(f *fixture) {
	p := f.policy("1/1h tenant:1/1h")
	tenants := []string{
		"a", "A", "a}", "{a}", "a}:c:192.0.2.1", "a:c", "a%7D", "a%", "%", "~", "", " ", "\x00", "\xff",
		"a\r\nFLUSHALL\r\n", "a:t", strings.Repeat("x", 300), strings.Repeat("x", 301), strings.Repeat("}", 60),
	}
	for i, tenant := range tenants {
		if d := f.takeAs(Client(tenant, "192.0.2.1"), p, 1); !d.Allowed {
			f.Fatalf("tenant %d %q was counted with an earlier one", i, tenant)
		}
	}
	single := f.policy("1/1h")
	for _, addr := range []string{"192.0.2.9", "192.0.2.90", "2001:db8:0:1::5", "2001:db8:0:2::5", "2001:db8::"} {
		if d := f.takeAs(Client("b", addr), single, 1); !d.Allowed {
			f.Fatalf("client %s was counted with an earlier one", addr)
		}
	}
	if d := f.takeAs(limit.Key{Tenant: "b"}, single, 1); !d.Allowed {
		f.Fatalf("the client without an address was counted with an earlier one")
	}
	if d := f.takeAs(Client("b", "2001:db8:0:1:ffff::1"), single, 1); d.Allowed {
		f.Fatalf("two addresses of one /64 were counted apart")
	}
}

func cost(f *fixture) {
	p := f.policy("10/1h tenant:12/1h")
	f.admit(p, 3, 7, 9)
	f.admit(p, 4, 3, 5)
	f.refuse(p, 4, 3, 5)
	f.admit(p, 3, 0, 2)
	f.refuse(p, 1, 0, 2)
	if d := f.takeAs(Client("acme", "192.0.2.9"), p, 0); !d.Allowed || d.States[0].Remaining != 9 {
		f.Fatalf("cost 0 left %d of 10, expected it to count as 1", d.States[0].Remaining)
	}
}

func costAboveQuota(f *fixture) {
	p := f.policy("10/1h")
	f.refuse(p, 11, 10)
	f.refuse(p, limit.MaxQuota, 10)
	f.admit(p, 10, 0)
	f.refuse(p, 11, 0)
}

func planChange(f *fixture) {
	free, premium := f.policy("3/1h"), f.policy("10/1h")
	f.admit(free, 1, 2)
	f.admit(free, 2, 0)
	f.refuse(free, 1)
	f.admit(premium, 1, 6)
	f.admit(premium, 2, 4)
	d := f.refuse(free, 1, 0)
	f.about("RetryAfter", d.RetryAfter, time.Hour)
	f.clock.Advance(d.RetryAfter)
	f.admit(free, 1, 2)
}

func windowChange(f *fixture) {
	f.admit(f.policy("10/1h"), 4, 6)
	f.clock.Advance(30 * time.Minute)
	f.admit(f.policy("10/1h"), 2, 4)
	f.clock.Advance(20 * time.Second)
	f.admit(f.policy("100/1d 10/1h 10/1m"), 1, 93, 3, 7)
	f.clock.Advance(31 * time.Minute)
	f.admit(f.policy("10/30m 100/1d"), 1, 9, 92)
}

func planFlap(f *fixture) {
	hour, day := f.policy("10/1h"), f.policy("10/1d")
	f.admit(hour, 3, 7)
	f.admit(day, 2, 5)
	f.admit(hour, 1, 4)
	f.clock.Advance(2 * time.Hour)
	f.admit(day, 1, 3)
	f.admit(hour, 1, 8)
}

func headers(f *fixture) {
	p := f.policy("2/1h tenant:5/10m")
	h := make(http.Header)
	limit.WriteHeaders(h, p, f.take(p, 1))
	for name, want := range map[string]string{
		"X-RateLimit-Limit":     "2",
		"X-RateLimit-Remaining": "1",
		"X-RateLimit-Reset":     "3600",
		"RateLimit-Policy":      `"hour";q=2;w=3600, "10m-tenant";q=5;w=600`,
		"RateLimit":             `"hour";r=1;t=3600, "10m-tenant";r=4;t=600`,
		"Retry-After":           "",
	} {
		if got := h.Get(name); got != want {
			f.Errorf("%s is %q, expected %q", name, got, want)
		}
	}
	f.take(p, 1)
	d := f.take(p, 1)
	limit.WriteHeaders(h, p, d)
	retry, err := strconv.ParseInt(h.Get("Retry-After"), 10, 64)
	if err != nil || time.Duration(retry)*time.Second < d.States[0].Reset {
		f.Errorf("Retry-After is %q for a reset of %s", h.Get("Retry-After"), d.States[0].Reset)
	}
	f.clock.Advance(time.Duration(retry) * time.Second)
	f.admit(p, 2, 0)
}
