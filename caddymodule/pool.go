package caddymodule

import (
	"io"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// pool holds what outlives a configuration. Its keys begin with the kind of
// the value and hold every setting that shapes it, and nothing else: a value
// is shared exactly by the configurations that would have made the same one.
var pool = caddy.NewUsagePool()

// closeDelay is how long a value that no configuration uses any more stays
// open: Caddy cleans the old configuration up while its last requests still
// run. Tests set it to zero, to see everything closed before they end.
var closeDelay = 10 * time.Second

// pooled is a configuration's hold on a shared value.
type pooled[T io.Closer] struct {
	value T
	fresh bool // made by this configuration, not found
	key   string
}

// hold finds or makes the value of that key.
func hold[T io.Closer](key string, open func() (T, error)) (*pooled[T], error) {
	v, loaded, err := pool.LoadOrNew(key, func() (caddy.Destructor, error) {
		value, err := open()
		if err != nil {
			return nil, err
		}
		return &shared[T]{value}, nil
	})
	if err != nil {
		return nil, err
	}
	return &pooled[T]{value: v.(*shared[T]).value, fresh: !loaded, key: key}, nil
}

// release gives the hold back, once. It may be called on nil: a configuration
// that failed half-way never got its hold, and must not give back another's.
func (p *pooled[T]) release() error {
	if p == nil || p.key == "" {
		return nil
	}
	key := p.key
	p.key = ""
	_, err := pool.Delete(key)
	return err
}

// shared is a pool's entry.
type shared[T io.Closer] struct{ value T }

// Destruct closes the value: at once when the process ends, later otherwise.
func (s *shared[T]) Destruct() error {
	if caddy.Exiting() || closeDelay == 0 {
		return s.value.Close()
	}
	time.AfterFunc(closeDelay, func() { _ = s.value.Close() })
	return nil
}
