package registry

import "time"

// pace keeps the reading of many tenants from being all that a gateway does, while
// somebody writes all the time to where they are kept: after a look that took its
// time, that is left alone for a multiple of it. The zero value never rests.
type pace struct {
	// found is the multiple after a look that found what it was for, and nothing that
	// after one that did not.
	found, nothing time.Duration

	until time.Time
}

// newPace allows half of one processor to looks that find something, and a seventh
// to those that do not: a change among 100,000 tenants is then found within a second,
// however much else is written.
func newPace() pace { return pace{found: 1, nothing: 6} }

// resting reports whether it is too early for the next look.
func (p *pace) resting() bool { return time.Now().Before(p.until) }

// rest begins the rest after a look that began then.
func (p *pace) rest(begin time.Time, found bool) {
	times := p.nothing
	if found {
		times = p.found
	}
	now := time.Now()
	p.until = now.Add(now.Sub(begin) * times) //nolint:durationcheck // times is a number
}
