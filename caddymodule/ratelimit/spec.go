package ratelimit

// Times inside this package are microseconds since the Unix epoch and lengths
// of time are microseconds, both as int64: the resolution of Redis TIME, and
// exact in a Lua number until the year 2255.

const microsPerSecond = 1_000_000

// windowID tells what a stored window counts. Consumption is kept under it, so
// a plan that changes only its quota finds what was consumed before.
type windowID int64

// spec is a Limit reduced to what the arithmetic needs.
type spec struct {
	id    windowID
	n     int64 // quota
	w     int64 // length of the window
	grain int64 // charges whose expiry falls into the same grain share a cell
	level Level
}

// A window of at least a minute is kept in 12 cells: the quota then comes back
// at most 1/12 of the window later than in a log of every request. Shorter
// windows use 16, because there the same fraction costs more throughput.
const (
	cellsLong  = 12
	cellsShort = 16
)

func newSpec(l Limit) spec {
	w := l.Window.Microseconds()
	s := spec{id: windowID(w), n: l.N, w: w, level: l.Level, grain: w / cellsShort}
	if w >= 60*microsPerSecond {
		s.grain = w / cellsLong
	}
	return s
}

// grainOf is the grain of a stored window, which may be named by no limit.
func grainOf(id windowID) int64 {
	if id >= 60*microsPerSecond {
		return int64(id) / cellsLong
	}
	return int64(id) / cellsShort
}
