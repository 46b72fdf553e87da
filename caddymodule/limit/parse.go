package limit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const limitForm = `expected QUOTA/WINDOW such as "100/1h", "50/s", "5000000/month" or "20/concurrent"`

// ParseOne reads one limit in the form QUOTA/WINDOW: a whole number, and
//
//	1h 10m 30s 1d 1h30m, or s m h d, or second minute hour day   a rolling window
//	calendar-hour calendar-day month                             a calendar period, in UTC
//	month@15                                                     a month that begins on the 15th
//	concurrent                                                   requests in progress
//
// "tenant:" in front puts it at level PerTenant, "client:" at level PerClient,
// which is also the default.
func ParseOne(s string) (Limit, error) {
	var l Limit
	rest := s
	if r, ok := strings.CutPrefix(rest, "tenant:"); ok {
		l.Level, rest = PerTenant, r
	} else if r, ok := strings.CutPrefix(rest, "client:"); ok {
		rest = r
	}
	quota, window, ok := strings.Cut(rest, "/")
	if !ok || quota == "" || window == "" {
		return Limit{}, fmt.Errorf("reading limit %q: %s", s, limitForm)
	}
	var err error
	if l.N, err = parseQuota(quota); err != nil {
		return Limit{}, fmt.Errorf("reading limit %q: %w", s, err)
	}
	if err := l.parseWindow(window); err != nil {
		return Limit{}, fmt.Errorf("reading limit %q: %w", s, err)
	}
	if err := checkLimit(l); err != nil {
		return Limit{}, fmt.Errorf("reading limit %q: %w", s, err)
	}
	return l, nil
}

// Parse reads limits separated by spaces, as in a tenant's own limits:
// "100/1h 10/s tenant:1000/1h". What it accepts makes a policy: limits that count
// the same are an error here, not only when a request comes.
func Parse(s string) ([]Limit, error) {
	fields := strings.Fields(s)
	if len(fields) == 0 {
		return nil, fmt.Errorf("reading limits %q: %s", s, limitForm)
	}
	if len(fields) > MaxLimits {
		return nil, fmt.Errorf("reading limits %q: %d limits, expected at most %d", s, len(fields), MaxLimits)
	}
	limits := make([]Limit, 0, len(fields))
	for _, f := range fields {
		l, err := ParseOne(f)
		if err != nil {
			return nil, err
		}
		limits = append(limits, l)
	}
	if err := checkTogether(limits); err != nil {
		return nil, fmt.Errorf("reading limits %q: %w", s, err)
	}
	return limits, nil
}

// parseQuota accepts digits only: signs, fractions, exponents and NaN are all
// mistakes in a quota.
func parseQuota(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' }) {
		return 0, fmt.Errorf("quota %q: expected a whole number from 1 to %d, in digits", s, int64(MaxQuota))
	}
	return n, nil
}

var windowUnits = map[string]time.Duration{
	"s": time.Second, "second": time.Second,
	"m": time.Minute, "minute": time.Minute,
	"h": time.Hour, "hour": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour,
}

// otherWindows are the words for what does not roll. "hour" and "day" are not
// among them: who writes 100/hour means never more than 100 in an hour.
var otherWindows = map[string]Kind{
	"calendar-hour": CalendarHour, "calendar-day": CalendarDay,
	"month": CalendarMonth, "calendar-month": CalendarMonth,
	"concurrent": Concurrent,
}

const windowForm = "expected a length such as 1h, 10m, 30s or 1d, " +
	"one of second, minute, hour, day, calendar-hour, calendar-day, month, month@DAY, or concurrent"

func (l *Limit) parseWindow(s string) error {
	if w, ok := windowUnits[s]; ok {
		l.Window = w
		return nil
	}
	word, anchor, anchored := strings.Cut(s, "@")
	if kind, ok := otherWindows[word]; ok {
		l.Kind = kind
		if anchored {
			day, err := strconv.ParseUint(anchor, 10, 8)
			if err != nil || day < 1 || day > 31 || kind != CalendarMonth {
				return fmt.Errorf("window %q: expected month@DAY with a day from 1 to 31", s)
			}
			l.Anchor = int(day)
		}
		return nil
	}
	var err error
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		l.Window = time.Duration(n) * 24 * time.Hour
	} else {
		l.Window, err = time.ParseDuration(s)
	}
	if err != nil {
		return fmt.Errorf("window %q: %s", s, windowForm)
	}
	return nil
}
