package redis_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limiters/redis"
)

func TestTheCaddyfileSaysWhatTheJSONSays(t *testing.T) {
	for _, c := range []struct{ caddyfile, json string }{
		{"redis", `{}`},
		{"redis redis://h:1", `{"url":"redis://h:1"}`},
		{"redis {env.REDIS_URL} {\nnamespace shop\nbudget 5ms\nreplicas 3\nlease_from 100\n}",
			`{"url":"{env.REDIS_URL}","namespace":"shop","budget":5000000,"replicas":3,"lease_from":100}`},
		{"redis redis://h {\nlease_from never\n}", `{"url":"redis://h","lease_from":-1}`},
	} {
		t.Run(c.caddyfile, func(t *testing.T) {
			var l redis.Limiter
			if err := l.UnmarshalCaddyfile(caddyfile.NewTestDispenser(c.caddyfile)); err != nil {
				t.Fatal(err)
			}
			if got, err := json.Marshal(l); err != nil || string(got) != c.json {
				t.Errorf("%s, %v; expected %s", got, err, c.json)
			}
		})
	}
}

func TestAMistakeInTheCaddyfileIsNamed(t *testing.T) {
	for in, want := range map[string]string{
		"redis a b":                           "rong argument count",
		"redis a {\nnamespace\n}":             "rong argument count",
		"redis a {\nbudget soon\n}":           `budget: bad duration "soon"`,
		"redis a {\nreplicas 0\n}":            `bad number "0"`,
		"redis a {\nlease_from 0\n}":          `bad number "0"`,
		"redis a {\nlease_from\n}":            "lease_from: expected a quota, or never",
		"redis a {\nshards 2\n}":              `redis: unknown option "shards"; expected namespace, budget, replicas or lease_from`,
		"redis a {\nlease_from 5 or never\n}": "lease_from: expected a quota, or never",
	} {
		t.Run(in, func(t *testing.T) {
			err := new(redis.Limiter).UnmarshalCaddyfile(caddyfile.NewTestDispenser(in))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %v, expected %q in it", err, want)
			}
		})
	}
}

func TestAnEmptyURLLeavesTheCountingToTheProcess(t *testing.T) {
	for _, url := range []string{"", "{env.NO_SUCH_VARIABLE_IS_SET}"} {
		t.Run(url, func(t *testing.T) {
			l := redis.Limiter{URL: url}
			if err := l.Provision(caddy.Context{}); err != nil {
				t.Fatal(err)
			}
			if limiter, err := l.OpenLimiter(); limiter != nil || err != nil {
				t.Errorf("OpenLimiter returned %v, %v; expected nothing", limiter, err)
			}
		})
	}
}

func TestPlaceholdersAreReplacedAndEachLimiterIsItsOwn(t *testing.T) {
	t.Setenv("TEST_REDIS", "redis://127.0.0.1:1")
	l := redis.Limiter{URL: "{env.TEST_REDIS}"}
	if err := l.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	one, err := l.OpenLimiter()
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	two, err := l.OpenLimiter()
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	if one == two {
		t.Error("two openings returned one limiter")
	}
}

func TestWhatMakesNoSenseIsRefusedBeforeTheStart(t *testing.T) {
	for want, l := range map[string]*redis.Limiter{
		"tenancy: replicas -1; expected at least 1":       {URL: "redis://h", Replicas: -1},
		"tenancy: budget -1s; expected a positive":        {URL: "redis://h", Budget: -1e9},
		`tenancy: reading Redis URL: scheme "http"`:       {URL: "http://x"},
		"tenancy: reading Redis namespace":                {URL: "redis://h", Namespace: "a b"},
		"tenancy: reading Redis URL: no scheme, expected": {URL: "secret"},
	} {
		t.Run(want, func(t *testing.T) {
			err := l.Provision(caddy.Context{})
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("the error is %v, expected %q in it", err, want)
			}
		})
	}
}
