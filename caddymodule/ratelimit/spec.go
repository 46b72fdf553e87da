package ratelimit

// Times inside this package are microseconds since the Unix epoch and lengths
// of time are microseconds, both as int64: the resolution of Redis TIME, and
// exact in a Lua number until the year 2255.

const microsPerSecond = 1_000_000

// windowID tells what a stored window counts. Consumption is kept under it, so
// a plan that changes only its quota finds what was consumed before. A rolling
// window's is its length; the others are negative.
type windowID int64

const (
	calendarHourID  windowID = -1
	calendarDayID   windowID = -2
	concurrentID    windowID = -3
	calendarMonthID windowID = -100 // less the anchor: -101 to -131
)

func (id windowID) rolling() bool { return id > 0 }

// spec is a Limit reduced to what the arithmetic needs.
type spec struct {
	id    windowID
	n     int64
	level Level
}

func newSpec(l Limit) spec {
	s := spec{n: l.N, level: l.Level}
	switch l.Kind {
	case Rolling:
		s.id = windowID(l.Window.Microseconds())
	case CalendarHour:
		s.id = calendarHourID
	case CalendarDay:
		s.id = calendarDayID
	case CalendarMonth:
		s.id = calendarMonthID - windowID(max(1, l.Anchor))
	case Concurrent:
		s.id = concurrentID
	}
	return s
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
func (id windowID) grain() int64 {
	if id >= 60*microsPerSecond {
		return int64(id) / cellsLong
	}
	return int64(id) / cellsShort
}

// step is what the expiry of a cell is rounded up to once a newer cell exists:
// a hundredth of a grain, which packs into a byte in the store and is a
// thousandth of the window.
func (id windowID) step() int64 { return max(1, id.grain()/100) }

// expiry is the instant at which a charge made now stops counting, if what it
// bought may be used until now+hold.
func (id windowID) expiry(now, hold int64) int64 {
	if id.rolling() {
		return now + hold + int64(id)
	}
	return periodEnd(id, now)
}
