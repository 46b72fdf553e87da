package redis

import (
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

// waiter is a request that waits for the store. Its fields are guarded by the
// lock of its entry's shard until done is closed.
type waiter struct {
	p    *limit.Policy
	cost int64
	done chan struct{}
	gone bool // it stopped waiting; its permit must not be spent

	d    limit.Decision
	slot *limit.Slot
	err  error
}

// batch takes the waiters that one call can serve: the first ones of the
// queue that agree in policy and cost and have not gone.
func (e *entry) batch(most int) []*waiter {
	var head []*waiter
	i := 0
	for ; i < len(e.waiters) && len(head) < most; i++ {
		w := e.waiters[i]
		if w.gone {
			continue
		}
		if len(head) > 0 && (w.p.Fingerprint() != head[0].p.Fingerprint() || w.cost != head[0].cost) {
			break
		}
		head = append(head, w)
	}
	e.waiters = append(e.waiters[:0:0], e.waiters[i:]...)
	if len(e.waiters) == 0 {
		e.waiters = nil
	}
	return head
}

// serve hands the permits that were granted for them to the waiters of a call,
// first come, first served, and returns how many were used. The rest of the
// waiters is refused. inHand is what the gateway has besides.
func serve(p *limit.Policy, a window.Ask, v *window.Verdict, waiters []*waiter, inHand int64) (used int64) {
	left := v.Granted
	for _, w := range waiters {
		allowed := left >= a.Unit
		if allowed {
			left -= a.Unit
		}
		if w.gone {
			// Its permit stays with the lease, or is returned.
			if allowed {
				inHand += a.Unit
			}
			continue
		}
		v.Fill(&w.d, p, allowed)
		if allowed {
			used += a.Unit
			w.admit(left, a.Unit, inHand)
		}
		w.d.Slot = w.slot
		close(w.done)
	}
	return used
}

// admit corrects what an admitted waiter is told: what others of this call are
// about to get is still left as this one is told, so that each sees one less than
// the one before.
func (w *waiter) admit(left, unit, inHand int64) {
	for i := range w.p.Limits {
		st := &w.d.States[i]
		if w.p.Limits[i].Kind == limit.Concurrent {
			st.Remaining += left / unit
		} else {
			st.Remaining += left + inHand
		}
		st.Violated = false
	}
}

// serveQueue decides those who queued up during a call, as far as its answer
// suffices.
func (e *entry) serveQueue(now int64) {
	waiting := e.waiters[:0]
	for _, w := range e.waiters {
		if w.gone {
			continue
		}
		if w.p.Fingerprint() == e.cache.fingerprint && e.cache.take(now, w.p, w.cost, &w.d) != askStore {
			close(w.done)
			continue
		}
		waiting = append(waiting, w)
	}
	clear(e.waiters[len(waiting):])
	e.waiters = waiting
}

// fail tells the waiters of a call that it failed.
func fail(waiters []*waiter, err error) {
	for _, w := range waiters {
		if !w.gone {
			w.err = err
			close(w.done)
		}
	}
}
