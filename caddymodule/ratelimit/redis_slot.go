package ratelimit

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// slotBook knows the requests in progress that this gateway has in the store,
// so that it can keep renewing them.
type slotBook struct {
	next    atomic.Uint64
	mu      sync.Mutex
	held    map[string]heldSlot
	renewed time.Time
}

type heldSlot struct {
	key  Key
	sets []string
}

// bookSlots gives the admitted waiters of a call their slots, and those of
// waiters that have gone back. The entry's shard is locked.
func (r *Redis) bookSlots(c *call, v *verdict) {
	sets := slotKeys(tenantTag(r.namespace, c.entry.key.Tenant), c.entry.key, c.p)
	count := int(v.granted / c.ask.unit)
	for i, w := range c.waiters[:min(count, len(c.waiters))] {
		name := c.slot + strconv.Itoa(i+1)
		if w.gone {
			r.dropSlot(name, heldSlot{c.entry.key, sets})
			continue
		}
		r.slots.add(name, heldSlot{c.entry.key, sets})
		w.slot = &Slot{release: func() { r.releaseSlot(name) }}
	}
	r.janitor.start(r)
}

func (b *slotBook) add(name string, h heldSlot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held == nil {
		b.held = make(map[string]heldSlot)
		b.renewed = time.Now()
	}
	b.held[name] = h
}

func (b *slotBook) any() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.held) > 0
}

func (b *slotBook) due(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.held) == 0 || now.Sub(b.renewed) < slotRenewal {
		return false
	}
	b.renewed = now
	return true
}

func (r *Redis) releaseSlot(name string) {
	r.slots.mu.Lock()
	h, ok := r.slots.held[name]
	delete(r.slots.held, name)
	r.slots.mu.Unlock()
	if ok {
		r.dropSlot(name, h)
	}
}

func (r *Redis) dropSlot(name string, h heldSlot) {
	for _, set := range h.sets {
		r.groupOf(h.key).push(job{drop: []any{"zrem", set, name}})
	}
}

// renewSlots tells the store that the requests are still in progress. Names
// are sent again even if the store lost them, which restores what it forgot.
func (r *Redis) renewSlots() {
	type set struct {
		key  Key
		name string
	}
	members := make(map[set][]any)
	r.slots.mu.Lock()
	for name, h := range r.slots.held {
		for _, s := range h.sets {
			members[set{h.key, s}] = append(members[set{h.key, s}], name)
		}
	}
	r.slots.mu.Unlock()
	for s, names := range members {
		r.groupOf(s.key).push(job{
			script: renewScript,
			keys:   []string{s.name},
			args:   append([]any{slotLifetime.Microseconds()}, names...),
		})
	}
}
