package limit_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/limitertest"
)

func decision(allowed bool, states ...limit.State) limit.Decision {
	d := limit.Decision{Allowed: allowed, Len: len(states)}
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
	limit.WriteHeaders(h, p, decision(false,
		limit.State{Remaining: 4999, Reset: 3599*time.Second + 1},
		limit.State{Remaining: 0, Reset: time.Millisecond, Violated: true}))
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
	limit.WriteHeaders(h, p, decision(true, limit.State{Remaining: 5}))
	if got := h.Get("RateLimit"); got != `"hour";r=5` {
		t.Errorf("RateLimit is %q", got)
	}
}

func TestWriteHeadersNeverSendsRetryAfterBeforeAViolatedReset(t *testing.T) {
	p := limitertest.Policy(t, "5/1h 5/1m")
	d := decision(false,
		limit.State{Reset: 90 * time.Second, Violated: true},
		limit.State{Reset: 10 * time.Second, Violated: true})
	d.RetryAfter = time.Second
	h := make(http.Header)
	limit.WriteHeaders(h, p, d)
	if got := h.Get("Retry-After"); got != "90" {
		t.Errorf("Retry-After is %s, expected 90", got)
	}
}

func TestWriteHeadersGuessesNothingWhileDegraded(t *testing.T) {
	p := limitertest.Policy(t, "5/1h")
	for what, allowed := range map[string]bool{"allowed": true, "refused": false} {
		t.Run(what, func(t *testing.T) {
			h := make(http.Header)
			limit.WriteHeaders(h, p, limit.Decision{Allowed: allowed, Degraded: true, RetryAfter: time.Second})
			if len(h) != 0 {
				t.Errorf("fields are %v", h)
			}
		})
	}
}

func TestWriteHeadersCanBeAppendedToWithoutSharing(t *testing.T) {
	p := limitertest.Policy(t, "5/1h")
	d := decision(true, limit.State{Remaining: 4, Reset: time.Hour})
	one, two := make(http.Header), make(http.Header)
	limit.WriteHeaders(one, p, d)
	limit.WriteHeaders(two, p, d)
	for name := range one {
		one.Add(name, "x")
	}
	for name, values := range two {
		if len(values) != 1 || values[0] == "x" {
			t.Errorf("%s of another response became %q", name, values)
		}
	}
}

func TestAnUpstreamsOwnFieldsAreRemoved(t *testing.T) {
	h := http.Header{}
	for name, mine := range map[string]bool{
		"RateLimit": false, "RateLimit-Policy": false, "RateLimit-Limit": false, "RateLimit-Remaining": false, "RateLimit-Reset": false,
		"X-RateLimit-Limit": false, "X-RateLimit-Remaining-Minute": false, "X-RateLimit": false,
		"Retry-After": true, "X-Rate": true, "X-RateLimiter": true, "RateLimited": true, "Date": true, "X-": true,
	} {
		t.Run(name, func(t *testing.T) {
			for _, spelling := range []string{http.CanonicalHeaderKey(name), name, strings.ToLower(name), strings.ToUpper(name)} {
				h[spelling] = []string{"1"}
				if limit.StripHeaders(h); (h[spelling] != nil) != mine {
					t.Errorf("%s is %v after stripping", spelling, h[spelling])
				}
			}
		})
	}
}
