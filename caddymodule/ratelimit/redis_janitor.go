package ratelimit

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// janitorPeriod is well below the last tenth of the shortest hold.
const janitorPeriod = 50 * time.Millisecond

// janitor returns permits that will not be spent and renews slots. It runs
// only while there are any.
type janitor struct {
	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

func (j *janitor) start(r *Redis) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.timer == nil && !j.stopped {
		j.timer = time.AfterFunc(janitorPeriod, func() { j.run(r) })
	}
}

func (j *janitor) run(r *Redis) {
	more := r.retireAll(false)
	if r.slots.due(time.Now()) {
		r.renewSlots()
	}
	more = more || r.slots.any()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.timer = nil
	if more && !j.stopped {
		j.timer = time.AfterFunc(janitorPeriod, func() { j.run(r) })
	}
}

func (j *janitor) stop() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stopped = true
	if j.timer != nil {
		j.timer.Stop()
	}
}

// retireAll returns lots that are due, or all of them, and tells whether any
// are left.
func (r *Redis) retireAll(all bool) (more bool) {
	now := r.now()
	for i := range r.gate.shards {
		s := &r.gate.shards[i]
		type due struct {
			key  Key
			lots []lot
		}
		var returns []due
		s.mu.Lock()
		for key, e := range s.entries {
			var lots []lot
			if all {
				lots = e.purse.empty(now)
			} else {
				lots = e.purse.retire(now)
			}
			if len(lots) > 0 {
				returns = append(returns, due{key, lots})
			}
			if e.purse.lots[0].n > 0 {
				more = true
			} else if e.disposable(now) {
				e.removed = true
				delete(s.entries, key)
			}
		}
		s.mu.Unlock()
		for _, d := range returns {
			r.giveBack(d.key, d.lots)
		}
	}
	return more
}

// closeTimeout bounds how long Close waits for permits to be returned, and
// closeRounds how often it looks for more.
const (
	closeTimeout = time.Second
	closeRounds  = 3
)

// Close implements Limiter: it returns the permits in hand and closes the
// connections. A store that cannot be reached delays it by at most a second.
func (r *Redis) Close() (err error) {
	r.closed.Do(func() {
		r.closing.Store(true)
		r.janitor.stop()
		timeout := time.After(closeTimeout)
		// A call that was under way brings permits after the first round, and
		// they go back in the second.
		for round := 0; round < closeRounds && (round == 0 || r.Stats().Held > 0); round++ {
			r.retireAll(true)
			done := make(chan struct{})
			go func() {
				r.running.Wait()
				close(done)
			}()
			select {
			case <-done:
			case <-timeout:
				round = closeRounds
			}
		}
		if cerr := r.client.Close(); cerr != nil {
			err = fmt.Errorf("closing the rate limit store: %w", cerr)
		}
	})
	return err
}

// RedisStats counts what happened since the start.
type RedisStats struct {
	Calls       uint64 // commands sent to the store
	Pipelines   uint64 // round trips they were sent in
	Failures    uint64 // requests and returns without an answer in time
	Degraded    uint64 // requests that the failure policy decided
	BreakerOpen bool   // the store is not being asked at present
	Held        int64  // permits in hand
	Keys        int    // keys remembered
}

// Stats returns the counters. It looks at every remembered key.
func (r *Redis) Stats() RedisStats {
	s := RedisStats{
		Calls: r.calls.Load(), Pipelines: r.pipelines.Load(),
		Failures: r.failures.Load(), Degraded: r.degraded.Load(),
	}
	for _, g := range r.groups {
		s.BreakerOpen = s.BreakerOpen || g.breaker.isOpen()
	}
	now := r.now()
	for i := range r.gate.shards {
		shard := &r.gate.shards[i]
		shard.mu.Lock()
		s.Keys += len(shard.entries)
		for _, e := range shard.entries {
			s.Held += e.purse.inHand(now)
		}
		shard.mu.Unlock()
	}
	return s
}

func (r *Redis) source(s *redis.Script) string {
	switch s {
	case acquireScript:
		return commonSource + acquireSource
	case returnScript:
		return commonSource + returnSource
	}
	return commonSource + renewSource
}

// Check asks the server whether it is fit to be a limiter's store and returns
// what an operator should know. It is meant for the start of a gateway; an
// error means the server could not be asked.
func (r *Redis) Check(ctx context.Context) (warnings []string, err error) {
	info, err := r.client.InfoMap(ctx, "server", "memory").Result()
	if err != nil {
		return nil, fmt.Errorf("asking the rate limit store about itself: %w", err)
	}
	if v := info["Server"]["redis_version"]; v != "" && v[0] < '7' && v[1] == '.' {
		warnings = append(warnings, "the store is Redis "+v+", expected at least 7")
	}
	if p := info["Memory"]["maxmemory_policy"]; p != "" && p != "noeviction" {
		warnings = append(warnings, "the store's maxmemory-policy is "+p+", expected noeviction: an evicted key is a fresh quota")
	}
	return warnings, nil
}
