package ratelimit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit"
)

func TestParseLimitReadsQuotaAndWindow(t *testing.T) {
	for in, want := range map[string]ratelimit.Limit{
		"100/1h":                {Name: "hour", N: 100, Window: time.Hour},
		"1000/h":                {Name: "hour", N: 1000, Window: time.Hour},
		"7/hour":                {Name: "hour", N: 7, Window: time.Hour},
		"50/1s":                 {Name: "second", N: 50, Window: time.Second},
		"50/60s":                {Name: "minute", N: 50, Window: time.Minute},
		"9/10m":                 {Name: "10m", N: 9, Window: 10 * time.Minute},
		"9/1h30m":               {Name: "90m", N: 9, Window: 90 * time.Minute},
		"9/90s":                 {Name: "90s", N: 9, Window: 90 * time.Second},
		"9/7d":                  {Name: "7d", N: 9, Window: 7 * 24 * time.Hour},
		"9/day":                 {Name: "day", N: 9, Window: 24 * time.Hour},
		"tenant:5/m":            {Name: "minute-tenant", N: 5, Window: time.Minute, Level: ratelimit.PerTenant},
		"client:5/m":            {Name: "minute", N: 5, Window: time.Minute},
		"5000000/month":         {Name: "month", N: 5_000_000, Kind: ratelimit.CalendarMonth},
		"5/month@15":            {Name: "month", N: 5, Kind: ratelimit.CalendarMonth, Anchor: 15},
		"5/calendar-hour":       {Name: "calendar-hour", N: 5, Kind: ratelimit.CalendarHour},
		"tenant:5/calendar-day": {Name: "calendar-day-tenant", N: 5, Kind: ratelimit.CalendarDay, Level: ratelimit.PerTenant},
		"50/concurrent":         {Name: "concurrent", N: 50, Kind: ratelimit.Concurrent},
		"9007199254740991/366d": {Name: "366d", N: ratelimit.MaxQuota, Window: ratelimit.MaxWindow},
	} {
		got, err := ratelimit.ParseLimit(in)
		if err != nil || got != want {
			t.Errorf("ParseLimit(%q) = %+v, %v; expected %+v", in, got, err, want)
		}
	}
}

func TestParseLimitRefusesWhatIsNoLimit(t *testing.T) {
	for in, hint := range map[string]string{
		"":                              "expected QUOTA/WINDOW",
		"100":                           "expected QUOTA/WINDOW",
		"/1h":                           "expected QUOTA/WINDOW",
		"100/":                          "expected QUOTA/WINDOW",
		"0/1h":                          "from 1 to",
		"-5/1h":                         "in digits",
		"+5/1h":                         "in digits",
		"1e3/1h":                        "in digits",
		"1.5/1h":                        "in digits",
		"NaN/1h":                        "in digits",
		"９/1h":                          "in digits",
		"9007199254740992/1h":           "from 1 to 9007199254740991",
		"99999999999999999999999999/1h": "from 1 to",
		"5/0s":                          "at least 1s",
		"5/-1h":                         "at least 1s",
		"5/500ms":                       "at least 1s",
		"5/1500ms":                      "whole seconds",
		"5/367d":                        "at most 366 days",
		"5/70000d":                      "expected a length",
		"5/fortnite":                    "expected a length",
		"5/1h/2":                        "expected a length",
		"5/NaN":                         "expected a length",
		"5/month@0":                     "a day from 1 to 31",
		"5/month@32":                    "a day from 1 to 31",
		"5/month@":                      "a day from 1 to 31",
		"5/hour@3":                      "expected a length",
		"5/calendar-day@3":              "a day from 1 to 31",
		"100001/concurrent":             "1 to 100000",
		"user:5/1h":                     "in digits",
	} {
		_, err := ratelimit.ParseLimit(in)
		if err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("ParseLimit(%q) says %v, expected a mention of %q", in, err, hint)
		}
	}
}

func TestParseLimitsReadsAList(t *testing.T) {
	got, err := ratelimit.ParseLimits("  100/1h\t10/s tenant:1000/1h ")
	if err != nil || len(got) != 3 || got[2].Name != "hour-tenant" || got[1].N != 10 {
		t.Fatalf("ParseLimits = %+v, %v", got, err)
	}
	for _, bad := range []string{"", "  ", "100/1h x", strings.Repeat("1/1h ", ratelimit.MaxLimits+1)} {
		if _, err := ratelimit.ParseLimits(bad); err == nil {
			t.Errorf("ParseLimits(%q) succeeded", bad)
		}
	}
}

func TestNewPolicyRefusesWhatCannotBeEnforced(t *testing.T) {
	hour := ratelimit.Limit{N: 1, Window: time.Hour}
	named := func(name string) ratelimit.Limit { return ratelimit.Limit{Name: name, N: 1, Window: time.Hour} }
	for what, limits := range map[string][]ratelimit.Limit{
		"no limits":       nil,
		"too many limits": make([]ratelimit.Limit, ratelimit.MaxLimits+1),
		"quota 0":         {{Window: time.Hour}},
		"quota too large": {{N: ratelimit.MaxQuota + 1, Window: time.Hour}},
		"no window":       {{N: 1}},
		"unknown level":   {{N: 1, Window: time.Hour, Level: 7}},
		"a name twice":    {named("a"), {Name: "a", N: 1, Window: time.Minute}},
		"a window twice":  {hour, named("other")},
		"a quoted name":   {named(`a"b`)},
		"a name with CR":  {named("a\r")},
		"a long name":     {named(strings.Repeat("a", 65))},
	} {
		if _, err := ratelimit.NewPolicy(limits, ratelimit.Deny); err == nil {
			t.Errorf("%s: NewPolicy succeeded", what)
		}
	}
	if _, err := ratelimit.NewPolicy([]ratelimit.Limit{hour}, 9); err == nil {
		t.Error("an unknown failure policy: NewPolicy succeeded")
	}
}

func TestNewPolicyNamesLimitsByWindowAndLevel(t *testing.T) {
	p, err := ratelimit.NewPolicy([]ratelimit.Limit{
		{N: 1, Window: time.Hour},
		{N: 1, Window: time.Hour, Level: ratelimit.PerTenant},
		{Name: "burst", N: 1, Window: time.Second, Level: ratelimit.PerTenant},
	}, ratelimit.LocalShare)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"hour", "hour-tenant", "burst-tenant"} {
		if p.Limits[i].Name != want {
			t.Errorf("limit %d is named %q, expected %q", i, p.Limits[i].Name, want)
		}
	}
}

func TestFailurePolicyNamesAreReadBack(t *testing.T) {
	for _, f := range []ratelimit.FailurePolicy{ratelimit.LocalShare, ratelimit.Deny, ratelimit.Open} {
		got, err := ratelimit.ParseFailurePolicy(f.String())
		if err != nil || got != f {
			t.Errorf("ParseFailurePolicy(%q) = %v, %v", f, got, err)
		}
	}
	if _, err := ratelimit.ParseFailurePolicy("closed"); err == nil || !strings.Contains(err.Error(), "local_share, deny, open") {
		t.Errorf("an unknown name gives %v, expected the allowed ones", err)
	}
}

func FuzzParseLimit(f *testing.F) {
	for _, s := range []string{"100/1h", "tenant:5/10m", "1/366d", "0/1h", "5/1h30m", "x/y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ratelimit.ParseLimit(s)
		if err != nil {
			return
		}
		if _, err := ratelimit.NewPolicy([]ratelimit.Limit{l}, ratelimit.Deny); err != nil {
			t.Errorf("ParseLimit(%q) accepts what NewPolicy refuses: %v", s, err)
		}
	})
}
