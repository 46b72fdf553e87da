package ratelimit

import (
	"context"
	"encoding/binary"
	"time"
)

// DefaultMaxKeys bounds Memory unless its options say otherwise: about 170 MB
// when all are in use.
const DefaultMaxKeys = 1_000_000

// MemoryOptions configures NewMemory. The zero value is usable.
type MemoryOptions struct {
	// Now is the clock; nil means the system's, read monotonically, so that
	// a step of the wall clock neither forgets nor prolongs a window.
	Now func() time.Time

	// MaxKeys bounds the clients counted one by one; 0 means
	// DefaultMaxKeys. Further clients share counts until others are
	// forgotten, which refuses too much rather than too little. Tenant
	// totals have the same bound again.
	MaxKeys int
}

// Memory is a Limiter that counts in this process. It needs no goroutine and
// forgets keys by itself as their windows pass.
type Memory struct {
	now     func() int64
	hasher  hasher
	clients *table[Key]
	tenants *table[string]
}

// NewMemory returns a limiter with nothing consumed.
func NewMemory(opts MemoryOptions) *Memory {
	if opts.MaxKeys <= 0 {
		opts.MaxKeys = DefaultMaxKeys
	}
	h := newHasher()
	return &Memory{
		now:     microClock(opts.Now),
		hasher:  h,
		clients: newTable(opts.MaxKeys, h.key),
		tenants: newTable(opts.MaxKeys, h.tenant),
	}
}

func microClock(now func() time.Time) func() int64 {
	if now != nil {
		return func() int64 { return now().UnixMicro() }
	}
	start := time.Now()
	base := start.UnixMicro()
	return func() int64 { return base + int64(time.Since(start)/time.Microsecond) }
}

// Take implements Limiter. It never fails and does not look at the context.
func (m *Memory) Take(_ context.Context, key Key, p *Policy, cost int64) (d Decision, err error) {
	cost = max(1, cost)
	var v verdict
	m.decide(key, p, ask{need: cost, unit: cost, want: cost}, &v)
	v.fill(&d, p, v.granted == cost)
	if d.Allowed && p.slots != [2]bool{} {
		d.Slot = &Slot{release: func() { m.vacate(key, p) }}
	}
	return d, nil
}

func (m *Memory) vacate(key Key, p *Policy) {
	now := m.now()
	if p.slots[PerTenant] {
		hash := m.hasher.tenant(key.Tenant)
		s := m.tenants.lock(hash)
		m.tenants.account(s, hash, key.Tenant, now).vacate()
		s.mu.Unlock()
	}
	if p.slots[PerClient] {
		hash := m.hasher.key(key)
		s := m.clients.lock(hash)
		m.clients.account(s, hash, key, now).vacate()
		s.mu.Unlock()
	}
}

// decide locks the accounts of key, the tenant's before the client's, for the
// length of one decision.
func (m *Memory) decide(key Key, p *Policy, a ask, v *verdict) {
	now := m.now()
	var accounts [2]*account
	var tenants *shard[string]
	var clients *shard[Key]
	if p.levels[PerTenant] {
		hash := m.hasher.tenant(key.Tenant)
		tenants = m.tenants.lock(hash)
		accounts[PerTenant] = m.tenants.account(tenants, hash, key.Tenant, now)
	}
	if p.levels[PerClient] {
		hash := m.hasher.key(key)
		clients = m.clients.lock(hash)
		accounts[PerClient] = m.clients.account(clients, hash, key, now)
	}
	decide(p, &accounts, now, a, v)
	if clients != nil {
		clients.mu.Unlock()
	}
	if tenants != nil {
		tenants.mu.Unlock()
	}
}

// Len returns how many clients and tenants are counted one by one.
func (m *Memory) Len() int { return m.clients.len() + m.tenants.len() }

// Close implements Limiter; there is nothing to release.
func (m *Memory) Close() error { return nil }

// fill translates the verdict on a single request.
func (v *verdict) fill(d *Decision, p *Policy, allowed bool) {
	d.Allowed, d.Len = allowed, p.nspecs
	for i := range p.nspecs {
		from, to := &v.limits[i], &d.States[i]
		to.Remaining = from.remaining
		to.Reset = time.Duration(from.reset) * time.Microsecond
		to.Violated = from.violated
	}
	if !allowed {
		d.RetryAfter = max(time.Duration(v.retry)*time.Microsecond, time.Microsecond)
	}
}

// The shard of a key among a gateway's purses is chosen with a few
// multiplications instead of a full hash: collisions cost waiting, nothing
// else.

const (
	mixA = 0x9e3779b97f4a7c15
	mixB = 0xc2b2ae3d27d4eb4f
)

// tail returns the last eight bytes of a string, which is where tenants with
// systematic names differ, and its length.
func tail(s string) uint64 {
	n := len(s)
	if n < 8 {
		h := uint64(n)
		for i := range n {
			h = h<<8 | uint64(s[i])
		}
		return h
	}
	s = s[n-8:]
	return uint64(n)<<56 ^ (uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56)
}

func shardOfKey(key Key) uint64 {
	a := key.Client.As16()
	// An IPv4 address is in the last bytes, a /64 in the first.
	h := (tail(key.Tenant)*mixA ^ binary.BigEndian.Uint64(a[8:])) * mixB
	h = (h ^ h>>32 ^ binary.BigEndian.Uint64(a[:8])) * mixA
	return (h ^ h>>29) * mixB >> 56
}

var _ Limiter = (*Memory)(nil)
