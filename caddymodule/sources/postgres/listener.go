package postgres

import (
	"context"
	"sync"
	"time"
)

// notifyChannel is the channel that a gateway listens to. Whoever changes tenants or
// credentials may notify it, with any payload, in the same transaction.
const notifyChannel = "tenants_changed"

// The time between two attempts to listen doubles as long as they fail: a standby
// never lets anybody listen. Meanwhile polls at intervals find what has changed.
const listenRetry, listenRetryMost = time.Second, 30 * time.Second

// listener waits for notifications on a connection of its own.
type listener struct {
	dsn     string
	changed chan struct{}

	once   sync.Once
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // nil before start
}

func newListener(dsn string) *listener {
	l := &listener{dsn: dsn, changed: make(chan struct{}, 1)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Changed implements [registry.Notifier].
func (l *listener) Changed() <-chan struct{} { return l.changed }

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
	for wait := listenRetry; ; wait = min(2*wait, listenRetryMost) {
		if l.listen() {
			wait = listenRetry
		}
		select {
		case <-l.ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// listen returns when the connection fails, and whether it had listened. That needs
// no report: the polls fail as well, or do without it.
func (l *listener) listen() (listened bool) {
	conn, err := connect(l.ctx, l.dsn)
	if err != nil {
		return false
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if _, err := conn.Exec(l.ctx, "LISTEN "+notifyChannel); err != nil {
		return false
	}
	for {
		// Also at first: what was notified before is not repeated.
		select {
		case l.changed <- struct{}{}:
		default:
		}
		if _, err := conn.WaitForNotification(l.ctx); err != nil {
			return true
		}
	}
}
