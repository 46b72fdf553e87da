package window

import (
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
)

// Second is a second in microseconds.
const Second = 1_000_000

// ID tells what a stored window counts. Consumption is kept under it, so a plan
// that changes only its quota finds what was consumed before. A rolling window's
// is its length; the others are negative.
type ID int64

// Concurrent is the ID of requests in progress.
const Concurrent ID = -3

const (
	calendarHour  ID = -1
	calendarDay   ID = -2
	calendarMonth ID = -100 // less the anchor: -101 to -131
)

// IDOf returns the ID of the window that a limit counts in.
func IDOf(l *limit.Limit) ID {
	switch l.Kind {
	case limit.CalendarHour:
		return calendarHour
	case limit.CalendarDay:
		return calendarDay
	case limit.CalendarMonth:
		return calendarMonth - ID(max(1, l.Anchor))
	case limit.Concurrent:
		return Concurrent
	}
	return ID(l.Window / time.Microsecond)
}

// Rolling tells whether the ID is that of a rolling window.
func (id ID) Rolling() bool { return id > 0 }

// valid tells whether any limit has the ID.
func (id ID) valid() bool {
	return id >= Second || id == calendarHour || id == calendarDay || id == Concurrent ||
		id < calendarMonth && id >= calendarMonth-31
}

// A window of at least a minute is kept in 12 cells: the quota then comes back
// at most 1/12 of the window later than in a log of every request. Shorter
// windows use 16, because there the same fraction costs more throughput.
const (
	cellsLong  = 12
	cellsShort = 16
)

// grain is the length of a rolling window's cells: charges whose expiry falls
// into the same grain share a cell.
func (id ID) grain() int64 {
	if id >= 60*Second {
		return int64(id) / cellsLong
	}
	return int64(id) / cellsShort
}

// step is what the expiry of a cell is rounded up to once a newer cell exists:
// a hundredth of a grain, which packs into a byte in the store and is a
// thousandth of the window.
func (id ID) step() int64 { return max(1, id.grain()/100) }

// expiry is the instant at which a charge made now stops counting, if what it
// bought may be used until now+hold.
func (id ID) expiry(now, hold int64) int64 {
	if id.Rolling() {
		return now + hold + int64(id)
	}
	return periodEnd(id, now)
}

// periodEnd returns the end of the calendar period that now lies in, in UTC.
// A month with an anchor begins on that day of the month, or on the last day
// of a month that has fewer, as a subscription's billing period does.
//
// The script computes the same from the store's clock, so gateways with wrong
// clocks still agree on the period.
func periodEnd(id ID, now int64) int64 {
	t := time.UnixMicro(now).UTC()
	date := func(year int, month time.Month, day int) time.Time {
		return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	}
	year, month, day := t.Date()
	switch id {
	case calendarHour:
		return t.Truncate(time.Hour).Add(time.Hour).UnixMicro()
	case calendarDay:
		return date(year, month, day+1).UnixMicro()
	}
	begin := func(month time.Month) time.Time {
		last := date(year, month+1, 0).Day()
		return date(year, month, min(int(calendarMonth-id), last))
	}
	if this := begin(month); t.Before(this) {
		return this.UnixMicro()
	}
	return begin(month + 1).UnixMicro()
}
