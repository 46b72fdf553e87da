package e2e

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redistest"
	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// number reads a header that must be a whole number.
func number(t *testing.T, res *harness.Response, name string) int {
	t.Helper()
	n, err := strconv.Atoi(res.Header.Get(name))
	if err != nil {
		t.Fatalf("header %s is %q; want a number (status %d)", name, res.Header.Get(name), res.Status)
	}
	return n
}

// remaining makes one request and returns what it leaves.
func remaining(t *testing.T, s *harness.Stack, slug string) int {
	t.Helper()
	return number(t, s.Get(slug, "/api/pets"), "X-RateLimit-Remaining")
}

var (
	policyField = regexp.MustCompile(`^"([a-z]+)";q=(\d+);w=(\d+)$`)
	limitField  = regexp.MustCompile(`^"([a-z]+)";r=(\d+);t=(\d+)$`)
)

func TestLimitCountsDownAndThenRefuses(t *testing.T) {
	s := harness.StartStack(t, harness.Options{})
	first := s.Get(harness.Acme, "/api/pets")
	if got := policyField.FindStringSubmatch(first.Header.Get("RateLimit-Policy")); !slices.Equal(got[min(1, len(got)):], []string{"hour", "100", "3600"}) {
		t.Errorf("RateLimit-Policy = %q; want the hour's 100", first.Header.Get("RateLimit-Policy"))
	}
	if got := limitField.FindStringSubmatch(first.Header.Get("RateLimit")); len(got) != 4 || got[1] != "hour" || got[2] != "99" {
		t.Errorf("RateLimit = %q; want the hour's 99", first.Header.Get("RateLimit"))
	}
	if limit, left := number(t, first, "X-RateLimit-Limit"), number(t, first, "X-RateLimit-Remaining"); limit != 100 || left != 99 {
		t.Errorf("X-RateLimit-Limit, -Remaining = %d, %d; want 100, 99", limit, left)
	}
	if n := number(t, first, "X-RateLimit-Reset"); n < 1 || n > 3600 {
		t.Errorf("X-RateLimit-Reset = %d; want seconds within the hour", n)
	}
	for want := 98; want >= 0; want-- {
		if res := s.Get(harness.Acme, "/api/pets"); res.Status != http.StatusOK || number(t, res, "X-RateLimit-Remaining") != want {
			t.Fatalf("status %d, remaining %q; want 200 and %d", res.Status, res.Header.Get("X-RateLimit-Remaining"), want)
		}
	}
	refused := s.Get(harness.Acme, "/api/pets")
	if refused.Status != http.StatusTooManyRequests || refused.Header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("the 101st: status %d, %v; want a 429 problem", refused.Status, refused.Header)
	}
	got := limitField.FindStringSubmatch(refused.Header.Get("RateLimit"))
	if len(got) != 4 || got[2] != "0" {
		t.Fatalf("RateLimit = %q; want none remaining", refused.Header.Get("RateLimit"))
	}
	if wait, _ := strconv.Atoi(got[3]); number(t, refused, "Retry-After") < max(wait, 1) {
		t.Errorf("Retry-After = %q, earlier than the limit's own %d", refused.Header.Get("Retry-After"), wait)
	}
	var problem struct {
		Type     string
		Status   int
		Violated []string `json:"violated-policies"`
	}
	if err := json.Unmarshal([]byte(refused.Body), &problem); err != nil {
		t.Fatalf("reading the problem: %v\n%s", err, refused.Body)
	}
	if problem.Type != "https://iana.org/assignments/http-problem-types#quota-exceeded" || problem.Status != http.StatusTooManyRequests || !slices.Equal(problem.Violated, []string{"hour"}) {
		t.Errorf("problem = %+v; want quota-exceeded, 429, hour", problem)
	}
	if res := s.Get(harness.Fluffy, "/api/pets"); res.Status != http.StatusOK {
		t.Errorf("another tenant is refused too: status %d", res.Status)
	}
}

func TestCountersSurviveAReloadOfTheConfiguration(t *testing.T) {
	s := harness.StartStack(t, harness.Options{})
	before := remaining(t, s, harness.Acme)
	s.MustReload()
	if after := remaining(t, s, harness.Acme); after != before-1 {
		t.Errorf("remaining %d before the reload, %d after; want one less", before, after)
	}
}

func TestCountersInRedisSurviveARestartOfTheGateway(t *testing.T) {
	redis := redistest.Start(t)
	s := harness.StartStack(t, harness.Options{Env: []string{"REDIS_URL=" + redis.URL()}})
	before := remaining(t, s, harness.Acme)
	s.RestartGateway()
	if after := remaining(t, s, harness.Acme); after != before-1 {
		t.Errorf("remaining %d before the restart, %d after; want one less", before, after)
	}
}

func TestRequestsAreAnsweredWhileRedisIsDownAndCountedAgainAfterwards(t *testing.T) {
	redis := redistest.Start(t)
	s := harness.StartStack(t, harness.Options{Env: []string{"REDIS_URL=" + redis.URL()}})
	keys := func() int64 { n, _ := redis.Do("DBSIZE").(int64); return n }
	remaining(t, s, harness.Acme)
	if keys() == 0 {
		t.Fatal("a request left no key in Redis")
	}
	answered := func(words string) {
		t.Helper()
		for range 30 {
			// One that hangs runs into the client's own limit and fails the test.
			if res := s.Get(harness.Fluffy, "/api/pets"); res.Status != http.StatusOK {
				t.Fatalf("%s: status %d\n%s", words, res.Status, res.Body)
			}
		}
	}
	counted := func(words string) {
		t.Helper()
		redis.Do("FLUSHALL")
		harness.Eventually(t, harness.StartTimeout, "requests to be counted in Redis "+words, func() bool {
			return s.Get(harness.Fluffy, "/api/pets").Status == http.StatusOK && keys() > 0
		})
	}
	redis.Freeze()
	answered("Redis frozen")
	redis.Thaw()
	counted("after the thaw")
	redis.Kill()
	answered("Redis killed")
	redis.Restart()
	counted("after the restart")
}
