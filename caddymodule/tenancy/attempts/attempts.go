// Package attempts counts what clients try in vain, such as names of no tenant and
// bad tokens, in fixed memory: a flood from a million addresses costs nothing more.
package attempts

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/sketch"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/shared"
)

// Counter counts failed attempts by client; nil counts nothing. An IPv6 client is
// its /64. It is safe for concurrent use.
type Counter struct {
	most   uint32
	window time.Duration
	sketch *sketch.Counter
	seed   maphash.Seed
}

// Parse reads how many failed attempts a client has, as in "60/1m", or off, for
// which it returns nil. Errors begin with what the limit is for.
func Parse(what, text string) (*limit.Limit, error) {
	if text == "off" {
		return nil, nil
	}
	l, err := limit.ParseOne(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if l.Window <= 0 || l.Window > time.Hour || l.N > 1_000_000 || l.Level != limit.PerClient {
		return nil, fmt.Errorf("%s %q: expected at most 1000000 in at most 1h, as in 60/1m, or off", what, text)
	}
	return &l, nil
}

// Hold finds or makes the counter for that use and limit, so that a reload forgives
// nobody. The reference is nil if nothing is to be counted.
func Hold(what string, l *limit.Limit) (*shared.Reference[*Counter], error) {
	if l == nil {
		return nil, nil
	}
	return shared.Hold(fmt.Sprintf("attempts %s %d %v", what, l.N, l.Window), func() (*Counter, error) {
		return &Counter{uint32(l.N), l.Window, sketch.New(l.Window), maphash.MakeSeed()}, nil
	})
}

// TooMany reports whether the client has used up its failed attempts; wait is how long
// that lasts if it stops now.
func (c *Counter) TooMany(client netip.Addr, now time.Time) (wait time.Duration, tooMany bool) {
	if c == nil {
		return 0, false
	}
	return c.wait(limit.ClientKey(client), now)
}

// Failed counts one failed attempt.
func (c *Counter) Failed(client netip.Addr, now time.Time) {
	if c != nil {
		c.sketch.Add(limit.ClientKey(client), now)
	}
}

// FailedAt counts a failed attempt with one name, apart from all others of the client.
// It reports whether it is the client's first with it for a while, and otherwise like
// TooMany.
func (c *Counter) FailedAt(client netip.Addr, name string, now time.Time) (first bool, wait time.Duration, tooMany bool) {
	if c == nil {
		return false, 0, false
	}
	// The sketch counts by addresses: the pair becomes one.
	var key [16]byte
	sum := maphash.Comparable(c.seed, struct {
		client netip.Addr
		name   string
	}{limit.ClientKey(client), name})
	binary.BigEndian.PutUint64(key[:], sum)
	binary.BigEndian.PutUint64(key[8:], ^sum)
	at := netip.AddrFrom16(key)
	if wait, tooMany = c.wait(at, now); tooMany {
		return false, wait, true
	}
	return c.sketch.Add(at, now) == 1, 0, false
}

func (c *Counter) wait(at netip.Addr, now time.Time) (time.Duration, bool) {
	if c.sketch.Count(at, now) < c.most {
		return 0, false
	}
	return c.sketch.Until(at, c.most, now).Sub(now), true
}

// Close implements io.Closer, for sharing. There is nothing to close.
func (*Counter) Close() error { return nil }
