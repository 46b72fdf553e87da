package ratelimit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxQuota is the largest quota: the largest integer that a double holds
// exactly, which is what a Redis script calculates with.
const MaxQuota = 1<<53 - 1

// MaxConcurrent is the largest quota of a Concurrent limit. Every request in
// progress is stored by itself.
const MaxConcurrent = 100_000

// MinWindow and MaxWindow bound a rolling window. Windows are whole seconds,
// because the w parameter of the RateLimit-Policy field is.
const (
	MinWindow = time.Second
	MaxWindow = 366 * 24 * time.Hour
)

// Level says over whom a limit is counted.
type Level uint8

const (
	// PerClient counts each client of a tenant by itself.
	PerClient Level = iota
	// PerTenant counts all clients of a tenant together.
	PerTenant
)

const tenantSuffix = "-tenant"

// Kind says what a limit counts.
type Kind uint8

const (
	// Rolling counts what was admitted in the last Window. No interval of
	// that length ever holds more than N.
	Rolling Kind = iota
	// CalendarHour counts what was admitted since the hour began, in UTC. That
	// suits quotas that are billed; around a boundary up to 2N pass within one
	// length.
	CalendarHour
	// CalendarDay does the same for the day.
	CalendarDay
	// CalendarMonth does the same for the month, which may begin on any day.
	CalendarMonth
	// Concurrent counts requests in progress, whatever they cost. The
	// admitted request's Decision.Slot must be released when it ends.
	Concurrent
)

// Limit is one quota of a policy. It is comparable.
type Limit struct {
	// Name is the policy name in header fields and problem documents. Empty
	// means the usual name: "second", "minute", "hour", "day" or a length as
	// in "10m" for rolling windows, "calendar-hour", "calendar-day", "month",
	// "concurrent". At level PerTenant it ends in "-tenant", which NewPolicy
	// appends where it is missing.
	Name string

	// N is the quota: 1 to MaxQuota, or MaxConcurrent.
	N int64

	// Window is the length of a Rolling window; the other kinds have none.
	Window time.Duration

	// Level is over whom N is counted.
	Level Level

	// Kind is what is counted.
	Kind Kind

	// Anchor is the day of the month, 1 to 31, on which a CalendarMonth
	// begins; 0 means 1. A month that is too short begins on its last day.
	Anchor int
}

func checkLimit(l Limit) error {
	largest := int64(MaxQuota)
	if l.Kind == Concurrent {
		largest = MaxConcurrent
	}
	switch {
	case l.Name == "" || len(l.Name) > 64:
		return fmt.Errorf("name of %d bytes, expected 1 to 64", len(l.Name))
	case strings.ContainsFunc(l.Name, func(r rune) bool { return r >= 0x80 || !plainByte(byte(r)) }):
		return fmt.Errorf("expected only letters, digits, '-', '_' and '.' in the name")
	case l.N < 1 || l.N > largest:
		return fmt.Errorf("quota %d, expected 1 to %d", l.N, largest)
	case l.Level > PerTenant:
		return fmt.Errorf("unknown level %d", l.Level)
	case l.Kind > Concurrent:
		return fmt.Errorf("unknown kind %d", l.Kind)
	case l.Kind != CalendarMonth && l.Anchor != 0 || l.Anchor < 0 || l.Anchor > 31:
		return fmt.Errorf("anchor %d, expected a day from 1 to 31, and only for a calendar month", l.Anchor)
	case l.Kind != Rolling && l.Window != 0:
		return fmt.Errorf("window %s, expected none unless it is rolling", l.Window)
	case l.Kind == Rolling:
		return checkWindow(l.Window)
	}
	return nil
}

func checkWindow(w time.Duration) error {
	switch {
	case w < MinWindow:
		return fmt.Errorf("window %s, expected at least %s", w, MinWindow)
	case w > MaxWindow:
		return fmt.Errorf("window %s, expected at most 366 days", w)
	case w%time.Second != 0:
		return fmt.Errorf("window %s, expected whole seconds", w)
	}
	return nil
}

// usualName is the name of a limit that was given none.
func (l Limit) usualName() string {
	switch l.Kind {
	case CalendarHour:
		return "calendar-hour"
	case CalendarDay:
		return "calendar-day"
	case CalendarMonth:
		return "month"
	case Concurrent:
		return "concurrent"
	}
	switch l.Window {
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
		if l.Window >= u.length && l.Window%u.length == 0 {
			return strconv.FormatInt(int64(l.Window/u.length), 10) + u.letter
		}
	}
	return strconv.FormatInt(int64(l.Window/time.Second), 10) + "s"
}

// seconds is the w parameter of the limit, or 0 where it has no fixed length.
func (l Limit) seconds() int64 {
	switch l.Kind {
	case Rolling:
		return int64(l.Window / time.Second)
	case CalendarHour:
		return microsPerHour / microsPerSecond
	case CalendarDay:
		return microsPerDay / microsPerSecond
	}
	return 0
}
