package redis

import (
	"time"
)

// janitorPeriod is well below the last tenth of the shortest hold.
const janitorPeriod = 50 * time.Millisecond

// tidyLater sees to it that tidy runs within a period. It runs only while there is
// anything for it to do.
func (r *Limiter) tidyLater() {
	if !r.tidying.Swap(true) {
		time.AfterFunc(janitorPeriod, r.tidy)
	}
}

// tidy returns permits that will not be spent and keeps the store informed of the
// requests in progress. When there are none any more it ends a closed limiter.
func (r *Limiter) tidy() {
	r.tidying.Store(false)
	more := false
	if !r.closed.Load() {
		_, more = r.returnAll((*leaseCache).retire)
	}
	if r.slots.tend(time.Now()) || more {
		r.tidyLater()
	} else if r.closed.Load() {
		_ = r.client.Close()
	}
}

// closeTimeout bounds how long Close waits for permits to be returned, and
// closeRounds how often it looks for more.
const (
	closeTimeout = time.Second
	closeRounds  = 3
)

// Close implements limit.Limiter: it returns the permits in hand and closes the
// connections, or leaves that to the end of the last request in progress: until
// then the store is told of those. A store that cannot be reached delays it by at
// most a second.
func (r *Limiter) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	timeout := time.NewTimer(closeTimeout)
	defer timeout.Stop()
	// A call that was under way brings permits after the first round, and
	// they go back in the second.
	for round := range closeRounds {
		returned, _ := r.returnAll((*leaseCache).empty)
		if round > 0 && !returned || !r.drain(timeout.C) {
			break
		}
	}
	r.tidy()
	return nil
}

// drain waits until what is queued has been sent, and tells whether that was in time.
func (r *Limiter) drain(timeout <-chan time.Time) bool {
	for i := range r.groups {
		sent := make(chan struct{})
		r.groups[i].push(job{sent: sent})
		select {
		case <-sent:
		case <-timeout:
			return false
		}
	}
	return true
}
