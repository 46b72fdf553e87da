package http

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

// pollGap is the least time between the beginnings of two requests of a poller: a
// server that does not wait must not be asked all the time.
const pollGap = 200 * time.Millisecond

// poller keeps a request waiting at the server in the background, so that the
// source itself never waits. Its methods are not called at the same time.
type poller struct {
	fetch   func(context.Context, question, time.Duration) (*answer, error)
	wait    time.Duration
	changed chan struct{} // receives when a request has come back

	asked   question
	started time.Time
	result  chan pollResult    // of the request for what was asked
	cancel  context.CancelFunc // ends it
	running sync.WaitGroup
}

type pollResult struct {
	*answer
	err error
}

func newPoller(fetch func(context.Context, question, time.Duration) (*answer, error), wait time.Duration) *poller {
	return &poller{fetch: fetch, wait: wait, changed: make(chan struct{}, 1), cancel: func() {}}
}

// begin asks from there on. What comes of an older question is dropped: it would
// take the tenants back in time.
func (p *poller) begin(q question) {
	p.cancel()
	pause := min(pollGap, max(0, pollGap-time.Since(p.started)))
	// Some more time than the server is asked to take.
	ctx, cancel := context.WithTimeout(context.Background(), pause+p.wait+30*time.Second)
	result := make(chan pollResult, 1)
	p.asked, p.started, p.result, p.cancel = q, time.Now().Add(pause), result, cancel
	p.running.Go(func() {
		defer cancel()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		a, err := p.fetch(ctx, q, p.wait)
		result <- pollResult{a, err}
		select {
		case p.changed <- struct{}{}:
		default:
		}
	})
}

// take returns what came, once, or [registry.ErrUnchanged] as long as nothing has.
func (p *poller) take() (*answer, error) {
	select {
	case r := <-p.result:
		if errors.Is(r.err, registry.ErrUnchanged) {
			p.begin(p.asked)
		}
		return r.answer, r.err
	default:
		return nil, registry.ErrUnchanged
	}
}

func (p *poller) close() {
	p.cancel()
	p.running.Wait()
}
