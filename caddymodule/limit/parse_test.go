package limit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
)

func TestParseOneReadsQuotaAndWindow(t *testing.T) {
	for in, want := range map[string]struct {
		limit limit.Limit
		name  string
	}{
		"100/1h":                {limit.Limit{N: 100, Window: time.Hour}, "hour"},
		"1000/h":                {limit.Limit{N: 1000, Window: time.Hour}, "hour"},
		"7/hour":                {limit.Limit{N: 7, Window: time.Hour}, "hour"},
		"50/1s":                 {limit.Limit{N: 50, Window: time.Second}, "second"},
		"50/60s":                {limit.Limit{N: 50, Window: time.Minute}, "minute"},
		"9/10m":                 {limit.Limit{N: 9, Window: 10 * time.Minute}, "10m"},
		"9/1h30m":               {limit.Limit{N: 9, Window: 90 * time.Minute}, "90m"},
		"9/90s":                 {limit.Limit{N: 9, Window: 90 * time.Second}, "90s"},
		"9/7d":                  {limit.Limit{N: 9, Window: 7 * 24 * time.Hour}, "7d"},
		"9/day":                 {limit.Limit{N: 9, Window: 24 * time.Hour}, "day"},
		"tenant:5/m":            {limit.Limit{N: 5, Window: time.Minute, Level: limit.PerTenant}, "minute-tenant"},
		"client:5/m":            {limit.Limit{N: 5, Window: time.Minute}, "minute"},
		"5000000/month":         {limit.Limit{N: 5_000_000, Kind: limit.CalendarMonth}, "month"},
		"5/month@15":            {limit.Limit{N: 5, Kind: limit.CalendarMonth, Anchor: 15}, "month"},
		"5/calendar-hour":       {limit.Limit{N: 5, Kind: limit.CalendarHour}, "calendar-hour"},
		"tenant:5/calendar-day": {limit.Limit{N: 5, Kind: limit.CalendarDay, Level: limit.PerTenant}, "calendar-day-tenant"},
		"50/concurrent":         {limit.Limit{N: 50, Kind: limit.Concurrent}, "concurrent"},
		"999999999999999/366d":  {limit.Limit{N: limit.MaxQuota, Window: limit.MaxWindow}, "366d"},
	} {
		t.Run(in, func(t *testing.T) {
			got, err := limit.ParseOne(in)
			if err != nil || got != want.limit || got.Name() != want.name {
				t.Errorf("it is %+v, named %q, %v; expected %+v", got, got.Name(), err, want)
			}
		})
	}
}

func TestParseOneRefusesWhatIsNoLimit(t *testing.T) {
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
		"1000000000000000/1h":           "from 1 to 999999999999999",
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
		"1000000000000000/concurrent":   "1 to 999999999999999",
		"user:5/1h":                     "in digits",
	} {
		t.Run(in, func(t *testing.T) {
			_, err := limit.ParseOne(in)
			if err == nil || !strings.Contains(err.Error(), hint) {
				t.Errorf("the error is %v, expected a mention of %q", err, hint)
			}
		})
	}
}

func TestParseReadsAList(t *testing.T) {
	got, err := limit.Parse("  100/1h\t10/s tenant:1000/1h ")
	if err != nil || len(got) != 3 || got[2].Name() != "hour-tenant" || got[1].N != 10 {
		t.Fatalf("Parse = %+v, %v", got, err)
	}
}

func TestParseRefusesWhatMakesNoPolicy(t *testing.T) {
	for what, in := range map[string]string{
		"nothing": "", "blanks": "  ", "no limit": "100/1h x", "too many": strings.Repeat("1/1h ", limit.MaxLimits+1),
		"a window twice": "100/1h 5/hour", "a month twice": "5/month 9/month@15",
	} {
		t.Run(what, func(t *testing.T) {
			if got, err := limit.Parse(in); err == nil {
				t.Errorf("%q was read as %+v", in, got)
			}
		})
	}
}

func TestNewPolicyRefusesWhatCannotBeEnforced(t *testing.T) {
	hour := limit.Limit{N: 1, Window: time.Hour}
	for what, limits := range map[string][]limit.Limit{
		"no limits":       nil,
		"too many limits": make([]limit.Limit, limit.MaxLimits+1),
		"quota 0":         {{Window: time.Hour}},
		"quota too large": {{N: limit.MaxQuota + 1, Window: time.Hour}},
		"no window":       {{N: 1}},
		"unknown level":   {{N: 1, Window: time.Hour, Level: 7}},
		"unknown kind":    {{N: 1, Kind: 9}},
		"a window twice":  {hour, {N: 2, Window: time.Hour}},
	} {
		t.Run(what, func(t *testing.T) {
			if _, err := limit.NewPolicy(limits, limit.Deny); err == nil {
				t.Error("NewPolicy succeeded")
			}
		})
	}
	if _, err := limit.NewPolicy([]limit.Limit{hour}, 9); err == nil {
		t.Error("an unknown failure policy: NewPolicy succeeded")
	}
}

func TestFailurePolicyNamesAreReadBack(t *testing.T) {
	for _, f := range []limit.FailurePolicy{limit.LocalShare, limit.Deny, limit.Open} {
		got, err := limit.ParseFailurePolicy(f.String())
		if err != nil || got != f {
			t.Errorf("ParseFailurePolicy(%q) = %v, %v", f, got, err)
		}
	}
	if _, err := limit.ParseFailurePolicy("closed"); err == nil || !strings.Contains(err.Error(), "local_share, deny, open") {
		t.Errorf("an unknown name gives %v, expected the allowed ones", err)
	}
}

func FuzzParseOne(f *testing.F) {
	for _, s := range []string{"100/1h", "tenant:5/10m", "1/366d", "0/1h", "5/1h30m", "x/y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := limit.ParseOne(s)
		if err != nil {
			return
		}
		if _, err := limit.NewPolicy([]limit.Limit{l}, limit.Deny); err != nil {
			t.Errorf("ParseOne(%q) accepts what NewPolicy refuses: %v", s, err)
		}
	})
}
