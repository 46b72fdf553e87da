package limit

import (
	"fmt"
	"strconv"
	"time"
)

// MaxQuota is the largest quota: the largest integer that a header field may
// hold (RFC 9651). A double, which is what a Redis script calculates with, holds
// nine times as much exactly, so that sums of costs fit too.
const MaxQuota = 999_999_999_999_999

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
	// N is the quota: 1 to MaxQuota.
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
	switch {
	case l.N < 1 || l.N > MaxQuota:
		return fmt.Errorf("quota %d, expected a whole number from 1 to %d", l.N, int64(MaxQuota))
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

// Name is the limit's name in header fields and problem documents: "second",
// "minute", "hour", "day" or a length as in "10m" for rolling windows,
// "calendar-hour", "calendar-day", "month", "concurrent". At level PerTenant it ends
// in "-tenant".
func (l Limit) Name() string {
	name := [...]string{
		Rolling: windowName(l.Window), CalendarHour: "calendar-hour", CalendarDay: "calendar-day",
		CalendarMonth: "month", Concurrent: "concurrent",
	}[l.Kind]
	if l.Level == PerTenant {
		name += "-tenant"
	}
	return name
}

func windowName(w time.Duration) string {
	for _, u := range []struct {
		length       time.Duration
		letter, word string
	}{{24 * time.Hour, "d", "day"}, {time.Hour, "h", "hour"}, {time.Minute, "m", "minute"}} {
		switch {
		case w == u.length:
			return u.word
		case w > u.length && w%u.length == 0:
			return strconv.FormatInt(int64(w/u.length), 10) + u.letter
		}
	}
	if w == time.Second {
		return "second"
	}
	return strconv.FormatInt(int64(w/time.Second), 10) + "s"
}

// seconds is the w parameter of the limit, or 0 where it has no fixed length.
func (l Limit) seconds() int64 {
	switch l.Kind {
	case Rolling:
		return int64(l.Window / time.Second)
	case CalendarHour:
		return int64(time.Hour / time.Second)
	case CalendarDay:
		return int64(24 * time.Hour / time.Second)
	}
	return 0
}
