package sqlstore

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// handles keeps a bounded number of databases open: the ones used last. No
// handle is closed while a request uses it, and no lock is held while one is
// opened or closed. When all are in use, a request waits.
type handles struct {
	open  func(context.Context, tenant.Slug) (*sqldb.DB, error)
	slots chan struct{} // one token for each database that is open or opening

	mu     sync.Mutex
	byName map[tenant.Slug]*handle
	idle   *list.List    // of *handle, the one used last in front
	freed  chan struct{} // closed and replaced when a handle becomes idle or goes
	closed bool
}

// handle is one open database.
type handle struct {
	t     tenant.Slug
	ready chan struct{} // closed when db and err are set
	done  chan struct{} // closed when the database is closed again
	db    *sqldb.DB
	err   error
	users int           // guarded by handles.mu
	place *list.Element // in idle, or nil; guarded by handles.mu
	gone  bool          // forgotten: close it after its last user; guarded by handles.mu
}

func newHandles(most int, open func(context.Context, tenant.Slug) (*sqldb.DB, error)) *handles {
	return &handles{
		open: open, slots: make(chan struct{}, most),
		byName: make(map[tenant.Slug]*handle), idle: list.New(), freed: make(chan struct{}),
	}
}

// with runs f on t's database.
func (h *handles) with(ctx context.Context, t tenant.Slug, f func(*sqldb.DB) error) error {
	got, err := h.acquire(ctx, t)
	if err != nil {
		return err
	}
	defer h.release(got)
	return f(got.db)
}

func (h *handles) acquire(ctx context.Context, t tenant.Slug) (*handle, error) {
	for {
		h.mu.Lock()
		if h.closed {
			h.mu.Unlock()
			return nil, fmt.Errorf("opening the database of tenant %q: %w: the store is closed", t, petstore.ErrUnavailable)
		}
		if got := h.byName[t]; got != nil {
			h.use(got)
			h.mu.Unlock()
			return h.await(ctx, got)
		}
		select {
		case h.slots <- struct{}{}:
			got := &handle{t: t, ready: make(chan struct{}), done: make(chan struct{}), users: 1}
			h.byName[t] = got
			h.mu.Unlock()
			// The others who wait for it must not fail because this one gave up.
			got.db, got.err = h.open(context.WithoutCancel(ctx), t)
			close(got.ready)
			return h.await(ctx, got)
		default:
		}
		if oldest := h.idle.Back(); oldest != nil {
			victim := oldest.Value.(*handle)
			h.remove(victim)
			h.mu.Unlock()
			// A failure to close is not this request's: the slot is free.
			_ = h.shut(victim)
			continue
		}
		freed := h.freed
		h.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for a database handle: %w: %w", petstore.ErrUnavailable, ctx.Err())
		}
	}
}

// await waits until the handle is open. A handle that failed to open is
// removed, so that the next request tries again.
func (h *handles) await(ctx context.Context, got *handle) (*handle, error) {
	select {
	case <-got.ready:
	case <-ctx.Done():
		h.release(got)
		return nil, ctx.Err()
	}
	if got.err == nil {
		return got, nil
	}
	h.mu.Lock()
	if h.byName[got.t] == got {
		h.remove(got)
		got.gone = true
	}
	h.mu.Unlock()
	h.release(got)
	return nil, got.err
}

// use and remove are called with mu held.
func (h *handles) use(got *handle) {
	got.users++
	if got.place != nil {
		h.idle.Remove(got.place)
		got.place = nil
	}
}

func (h *handles) remove(got *handle) {
	delete(h.byName, got.t)
	if got.place != nil {
		h.idle.Remove(got.place)
		got.place = nil
	}
}

func (h *handles) release(got *handle) {
	h.mu.Lock()
	got.users--
	last := got.users == 0
	closing := last && got.gone
	if last && !got.gone {
		got.place = h.idle.PushFront(got)
		h.signal()
	}
	h.mu.Unlock()
	if closing {
		// The requests are answered; a failure to close has nobody to tell.
		_ = h.shut(got)
	}
}

// shut closes a handle that nobody can reach any more and frees its slot.
func (h *handles) shut(got *handle) error {
	<-got.ready
	var err error
	if got.db != nil {
		err = got.db.Close()
	}
	<-h.slots
	close(got.done)
	h.mu.Lock()
	h.signal()
	h.mu.Unlock()
	if err != nil {
		return fmt.Errorf("closing the database of tenant %q: %w", got.t, err)
	}
	return nil
}

func (h *handles) signal() {
	close(h.freed)
	h.freed = make(chan struct{})
}

// forget closes t's database and waits until the requests on it are done.
func (h *handles) forget(ctx context.Context, t tenant.Slug) error {
	h.mu.Lock()
	got := h.byName[t]
	if got == nil {
		h.mu.Unlock()
		return nil
	}
	h.remove(got)
	got.gone = true
	idle := got.users == 0
	h.mu.Unlock()
	if idle {
		return h.shut(got)
	}
	select {
	case <-got.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for requests of tenant %q to end: %w", t, ctx.Err())
	}
}

// count returns how many databases are open or opening.
func (h *handles) count() int { return len(h.slots) }

// close closes the idle databases and has the others closed by their last
// user.
func (h *handles) close() error {
	h.mu.Lock()
	h.closed = true
	var idle []*handle
	for _, got := range h.byName {
		if got.users == 0 {
			idle = append(idle, got)
		}
		h.remove(got)
		got.gone = true
	}
	h.mu.Unlock()
	var all error
	for _, got := range idle {
		all = errors.Join(all, h.shut(got))
	}
	return all
}
