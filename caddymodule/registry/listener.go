package registry

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// NotifyChannel is the Postgres channel that a gateway listens to. Whoever
// changes tenants may notify it, with any payload, in the same transaction.
const NotifyChannel = "tenants_changed"

// listenRetry is the time between two attempts to listen. Meanwhile looks at
// intervals find what has changed.
const listenRetry = time.Second

// listener waits for notifications on a connection of its own.
type listener struct {
	connect func(context.Context) (*pgx.Conn, error)
	changed chan struct{}
	// heard says that there was a notification that no look has asked for yet.
	heard atomic.Bool

	once   sync.Once
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // nil before start
}

func newListener(connect func(context.Context) (*pgx.Conn, error)) *listener {
	l := &listener{connect: connect, changed: make(chan struct{}, 1)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

func (l *listener) start() {
	l.once.Do(func() {
		l.done = make(chan struct{})
		go l.run()
	})
}

func (l *listener) close() {
	l.cancel()
	if l.done != nil {
		<-l.done
	}
}

func (l *listener) run() {
	defer close(l.done)
	for {
		l.listen()
		select {
		case <-l.ctx.Done():
			return
		case <-time.After(listenRetry):
		}
	}
}

// listen returns when the connection fails, which needs no report: the looks fail
// as well, or do without it.
func (l *listener) listen() {
	conn, err := l.connect(l.ctx)
	if err != nil {
		return
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if _, err := conn.Exec(l.ctx, "LISTEN "+NotifyChannel); err != nil {
		return
	}
	for {
		// Also at first: what was notified before is not repeated.
		select {
		case l.changed <- struct{}{}:
		default:
		}
		if _, err := conn.WaitForNotification(l.ctx); err != nil {
			return
		}
		l.heard.Store(true)
	}
}
