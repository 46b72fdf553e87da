package sqlstore

import (
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
	open func(context.Context, tenant.Slug) (*sqldb.DB, error)
	most int

	mu     sync.Mutex
	byName map[tenant.Slug]*handle
	count  int           // of databases that are open, opening or closing
	uses   int           // so far: the time by which handles are old
	freed  chan struct{} // closed and replaced when somebody waiting may go on
	closed bool
}

// handle is one open database. What has no comment is guarded by handles.mu.
type handle struct {
	t     tenant.Slug
	ready chan struct{} // closed when db and err are set
	done  chan struct{} // closed when the database is closed again
	db    *sqldb.DB
	err   error
	users int
	used  int  // the last of handles.uses
	gone  bool // nobody finds it any more: it is closed after its last user
}

func newHandles(most int, open func(context.Context, tenant.Slug) (*sqldb.DB, error)) *handles {
	return &handles{open: open, most: most, byName: make(map[tenant.Slug]*handle), freed: make(chan struct{})}
}

// with runs f on t's database.
func (h *handles) with(ctx context.Context, t tenant.Slug, f func(*sqldb.DB) error) error {
	got, err := h.acquire(ctx, t)
	if err != nil {
		return err
	}
	defer h.release(got)
	select {
	case <-got.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	if got.err != nil {
		h.mu.Lock()
		h.remove(got) // the next request tries again
		h.mu.Unlock()
		return got.err
	}
	err = f(got.db)
	if errors.Is(err, sqldb.ErrReplaced) {
		h.mu.Lock()
		h.remove(got) // it is closed after its last user, and nobody finds it again
		h.mu.Unlock()
	}
	return err
}

// acquire finds t's handle, or makes one when there is room.
func (h *handles) acquire(ctx context.Context, t tenant.Slug) (*handle, error) {
	for {
		h.mu.Lock()
		if h.closed {
			h.mu.Unlock()
			return nil, fmt.Errorf("opening the database of tenant %q: %w: the store is closed", t, petstore.ErrUnavailable)
		}
		got := h.byName[t]
		fresh := got == nil && h.count < h.most
		if fresh {
			got = &handle{t: t, ready: make(chan struct{}), done: make(chan struct{})}
			h.byName[t] = got
			h.count++
		}
		if got != nil {
			h.uses++
			got.users, got.used = got.users+1, h.uses
			h.mu.Unlock()
			if fresh {
				// The others who wait for it must not fail because this one gave up.
				got.db, got.err = h.open(context.WithoutCancel(ctx), t)
				close(got.ready)
			}
			return got, nil
		}
		oldest := h.oldest()
		if oldest != nil {
			h.remove(oldest)
		}
		freed := h.freed
		h.mu.Unlock()
		if oldest != nil {
			_ = h.shut(oldest) // a failure to close is not this request's
			continue
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for a database handle: %w: %w", petstore.ErrUnavailable, ctx.Err())
		}
	}
}

// oldest is the handle that nobody has used for longest, or nil when all are in
// use. It, remove and signal are called with mu held.
func (h *handles) oldest() (oldest *handle) {
	for _, got := range h.byName {
		if got.users == 0 && (oldest == nil || got.used < oldest.used) {
			oldest = got
		}
	}
	return oldest
}

func (h *handles) remove(got *handle) {
	got.gone = true
	if h.byName[got.t] == got {
		delete(h.byName, got.t)
	}
}

func (h *handles) signal() {
	close(h.freed)
	h.freed = make(chan struct{})
}

func (h *handles) release(got *handle) {
	h.mu.Lock()
	got.users--
	last := got.users == 0
	if last {
		h.signal()
	}
	closing := last && got.gone
	h.mu.Unlock()
	if closing {
		_ = h.shut(got) // the requests are answered: there is nobody to tell
	}
}

// shut closes a handle that nobody can reach any more.
func (h *handles) shut(got *handle) (err error) {
	<-got.ready
	if got.db != nil {
		err = got.db.Close()
	}
	h.mu.Lock()
	h.count--
	h.signal()
	h.mu.Unlock()
	close(got.done)
	if err != nil {
		return fmt.Errorf("closing the database of tenant %q: %w", got.t, err)
	}
	return nil
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
	}
	h.mu.Unlock()
	var all error
	for _, got := range idle {
		all = errors.Join(all, h.shut(got))
	}
	return all
}
