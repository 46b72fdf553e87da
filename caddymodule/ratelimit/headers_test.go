package ratelimit_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit/limitertest"
)

func decision(allowed bool, states ...ratelimit.State) ratelimit.Decision {
	d := ratelimit.Decision{Allowed: allowed, Len: len(states)}
	copy(d.States[:], states)
	for _, s := range states {
		if s.Violated {
			d.RetryAfter = max(d.RetryAfter, s.Reset)
		}
	}
	return d
}

func TestWriteHeadersRoundsUpSoThatNobodyIsEarly(t *testing.T) {
	p := limitertest.Policy(t, "5000/1h 50/1s")
	h := make(http.Header)
	ratelimit.WriteHeaders(h, p, decision(false,
		ratelimit.State{Remaining: 4999, Reset: 3599*time.Second + 1},
		ratelimit.State{Remaining: 0, Reset: time.Millisecond, Violated: true}))
	want := map[string]string{
		"X-Ratelimit-Limit":     "5000",
		"X-Ratelimit-Remaining": "4999",
		"X-Ratelimit-Reset":     "3600",
		"Ratelimit-Policy":      `"hour";q=5000;w=3600, "second";q=50;w=1`,
		"Ratelimit":             `"hour";r=4999;t=3600, "second";r=0;t=1`,
		"Retry-After":           "1",
	}
	if len(h) != len(want) {
		t.Errorf("fields are %v", h)
	}
	for name, value := range want {
		if got := strings.Join(h[name], "|"); got != value {
			t.Errorf("%s is %q, expected %q", name, got, value)
		}
	}
}

func TestWriteHeadersOmitsTheWaitOfAFullQuota(t *testing.T) {
	p := limitertest.Policy(t, "5/1h")
	h := make(http.Header)
	ratelimit.WriteHeaders(h, p, decision(true, ratelimit.State{Remaining: 5}))
	if got := h.Get("RateLimit"); got != `"hour";r=5` {
		t.Errorf("RateLimit is %q", got)
	}
}

func TestWriteHeadersNeverSendsRetryAfterBeforeAViolatedReset(t *testing.T) {
	p := limitertest.Policy(t, "5/1h 5/1m")
	d := decision(false,
		ratelimit.State{Reset: 90 * time.Second, Violated: true},
		ratelimit.State{Reset: 10 * time.Second, Violated: true})
	d.RetryAfter = time.Second
	h := make(http.Header)
	ratelimit.WriteHeaders(h, p, d)
	if got := h.Get("Retry-After"); got != "90" {
		t.Errorf("Retry-After is %s, expected 90", got)
	}
}

func TestWriteHeadersGuessesNothingWhileDegraded(t *testing.T) {
	p := limitertest.Policy(t, "5/1h")
	for _, allowed := range []bool{true, false} {
		h := make(http.Header)
		ratelimit.WriteHeaders(h, p, ratelimit.Decision{Allowed: allowed, Degraded: true, RetryAfter: time.Second})
		if len(h) != 0 {
			t.Errorf("fields are %v", h)
		}
	}
}

func TestWriteHeadersCanBeAppendedToWithoutSharing(t *testing.T) {
	p := limitertest.Policy(t, "5/1h")
	d := decision(true, ratelimit.State{Remaining: 4, Reset: time.Hour})
	one, two := make(http.Header), make(http.Header)
	ratelimit.WriteHeaders(one, p, d)
	ratelimit.WriteHeaders(two, p, d)
	for name := range one {
		one.Add(name, "x")
	}
	for name, values := range two {
		if len(values) != 1 || values[0] == "x" {
			t.Errorf("%s of another response became %q", name, values)
		}
	}
}
