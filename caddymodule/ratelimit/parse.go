package ratelimit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const limitForm = `expected QUOTA/WINDOW such as "100/1h", "50/s" or "1000/10m"`

// ParseLimit reads one limit in the form QUOTA/WINDOW: a whole number, and a
// window such as 1h, 10m, 30s, 1d, 1h30m, or one unit alone (s, m, h, d, or
// second, minute, hour, day). "tenant:" in front puts it at level PerTenant,
// "client:" at level PerClient, which is also the default.
func ParseLimit(s string) (Limit, error) {
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
	n, err := parseQuota(quota)
	if err != nil {
		return Limit{}, fmt.Errorf("reading limit %q: %w", s, err)
	}
	w, err := parseWindow(window)
	if err != nil {
		return Limit{}, fmt.Errorf("reading limit %q: %w", s, err)
	}
	l.N, l.Window, l.Name = n, w, windowName(w)
	if l.Level == PerTenant {
		l.Name += tenantSuffix
	}
	return l, nil
}

// ParseLimits reads limits separated by spaces, as in a tenant's override:
// "100/1h 10/s tenant:1000/1h".
func ParseLimits(s string) ([]Limit, error) {
	fields := strings.Fields(s)
	if len(fields) == 0 {
		return nil, fmt.Errorf("reading limits %q: %s", s, limitForm)
	}
	if len(fields) > MaxLimits {
		return nil, fmt.Errorf("reading limits %q: %d limits, expected at most %d", s, len(fields), MaxLimits)
	}
	limits := make([]Limit, 0, len(fields))
	for _, f := range fields {
		l, err := ParseLimit(f)
		if err != nil {
			return nil, err
		}
		limits = append(limits, l)
	}
	return limits, nil
}

// parseQuota accepts digits only: signs, fractions, exponents and NaN are all
// mistakes in a quota.
func parseQuota(s string) (int64, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' }) {
		return 0, fmt.Errorf("quota %q: expected a whole number from 1 to %d, in digits", s, int64(MaxQuota))
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 || n > MaxQuota {
		return 0, fmt.Errorf("quota %q: expected a whole number from 1 to %d", s, int64(MaxQuota))
	}
	return n, nil
}

var windowUnits = map[string]time.Duration{
	"s": time.Second, "second": time.Second,
	"m": time.Minute, "minute": time.Minute,
	"h": time.Hour, "hour": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour,
}

func parseWindow(s string) (time.Duration, error) {
	if w, ok := windowUnits[s]; ok {
		return w, nil
	}
	const form = `expected a length such as 1h, 10m, 30s or 1d, or a unit: second, minute, hour, day`
	var (
		w   time.Duration
		err error
	)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, e := strconv.ParseUint(days, 10, 16)
		w, err = time.Duration(n)*24*time.Hour, e
	} else {
		w, err = time.ParseDuration(s)
	}
	if err != nil {
		return 0, fmt.Errorf("window %q: %s", s, form)
	}
	if err := checkWindow(w); err != nil {
		return 0, err
	}
	return w, nil
}

// windowName returns the name a window has in header fields.
func windowName(w time.Duration) string {
	switch w {
	case time.Second:
		return "second"
	case time.Minute:
		return "minute"
	case time.Hour:
		return "hour"
	case 24 * time.Hour:
		return "day"
	}
	units := []struct {
		length time.Duration
		letter string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}}
	for _, u := range units {
		if w >= u.length && w%u.length == 0 {
			return strconv.FormatInt(int64(w/u.length), 10) + u.letter
		}
	}
	return strconv.FormatInt(int64(w/time.Second), 10) + "s"
}
