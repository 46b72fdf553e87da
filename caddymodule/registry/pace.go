package registry

import "time"

// pace keeps the reading of many tenants from being all that a gateway does, while
// somebody writes all the time to where they are kept: after a look that took its
// time, that is left alone for a multiple of it.
type pace struct {
	until time.Time
}

// The rest after a look, as a multiple of the time that it took. One that found
// what it was for may take half of one processor, one that did not a tenth.
const (
	restFound   = 1
	restNothing = 9
)

// resting reports whether it is too early for the next look.
func (p *pace) resting() bool { return time.Now().Before(p.until) }

// rest begins the rest after a look that began then.
func (p *pace) rest(begin time.Time, found bool) {
	share := time.Duration(restNothing)
	if found {
		share = restFound
	}
	now := time.Now()
	p.until = now.Add(share * now.Sub(begin))
}
