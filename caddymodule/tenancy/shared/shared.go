// Package shared keeps what must outlive a configuration: each configuration that
// uses a value has a [Reference] to it, and the last one to give it back closes it.
//
// A shared value knows nothing of the configuration that made it: no logger, no
// context. What it needs of a running one is handed in anew by each.
package shared

import (
	"io"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// pool is the process's, as Caddy has it for what outlives a configuration. Its keys
// begin with the kind of the value and hold every setting that shapes it, and
// nothing else: a value is shared exactly by the configurations that would have made
// the same one.
var pool = caddy.NewUsagePool()

// closeDelay is how long a value that no configuration uses any more stays open:
// Caddy cleans the old configuration up while its last requests still run.
const closeDelay = 10 * time.Second

// Reference is a configuration's share in a value. The nil one has none.
type Reference[T io.Closer] struct {
	Value T
	// Fresh says that this configuration made the value and did not find it.
	Fresh bool
	// Key is the value's in the pool.
	Key string

	released bool
}

// Hold finds or makes the value of that key.
func Hold[T io.Closer](key string, open func() (T, error)) (*Reference[T], error) {
	v, loaded, err := pool.LoadOrNew(key, func() (caddy.Destructor, error) {
		value, err := open()
		if err != nil {
			return nil, err
		}
		return &entry[T]{value}, nil
	})
	if err != nil {
		return nil, err
	}
	return &Reference[T]{Value: v.(*entry[T]).value, Fresh: !loaded, Key: key}, nil
}

// Find returns a value of that type for which is says yes. It stays open for at
// least as long as a value that was given back.
func Find[T io.Closer](is func(T) bool) (found T, ok bool) {
	pool.Range(func(_, v any) bool {
		if e, same := v.(*entry[T]); same && is(e.value) {
			found, ok = e.value, true
		}
		return !ok
	})
	return found, ok
}

// Get returns the value, or the zero one without a reference.
func (p *Reference[T]) Get() (value T) {
	if p != nil {
		value = p.Value
	}
	return value
}

// Release gives the reference back, once. It may be called on nil: a configuration
// that failed half-way never got its own, and must not give back another's.
func (p *Reference[T]) Release() error {
	if p == nil || p.released {
		return nil
	}
	p.released = true
	_, err := pool.Delete(p.Key)
	return err
}

// entry is a value in the pool.
type entry[T io.Closer] struct{ value T }

// Destruct closes the value: at once when nothing runs any more, else when the last
// requests of the configuration that used it have had their time.
func (e *entry[T]) Destruct() error {
	if caddy.Exiting() || caddy.ActiveContext().Context == nil {
		return e.value.Close()
	}
	time.AfterFunc(closeDelay, func() { _ = e.value.Close() })
	return nil
}
