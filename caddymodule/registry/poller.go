package registry

import (
	"context"
	"errors"
	"sync"
	"time"
)

// The least time between two requests of a poller, if the first one brought
// something and if not: a server that does not wait must not be asked all the time.
const (
	pollAgain = 100 * time.Millisecond
	pollRetry = 500 * time.Millisecond
)

// poller asks a feed in a goroutine of its own, where it can wait. What it brings
// is taken by the registry's looks, which so never wait.
type poller struct {
	feed    *feed
	changed chan struct{}

	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // nil before the goroutine is started

	mu      sync.Mutex
	asked   question           // what to ask
	answer  *answer            // what came of it, until it is taken
	err     error              // or why nothing came
	abort   context.CancelFunc // of the request under way, nil if there is none
	restart chan struct{}      // there is a new question
}

func newPoller(f *feed) *poller {
	p := &poller{feed: f, changed: make(chan struct{}, 1), restart: make(chan struct{}, 1)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// begin has the poller ask from there on. An answer to an older question is
// dropped: it would take the tenants back in time.
func (p *poller) begin(q question) {
	p.mu.Lock()
	p.asked, p.answer, p.err = q, nil, nil
	if p.abort != nil {
		p.abort()
	}
	select {
	case p.restart <- struct{}{}:
	default:
	}
	p.mu.Unlock()
	if p.done == nil {
		p.done = make(chan struct{})
		go p.run()
	}
}

// take returns what came, once, or [ErrUnchanged] as long as nothing has.
func (p *poller) take() (*answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return nil, p.err
	}
	if p.answer == nil {
		return nil, ErrUnchanged
	}
	a := p.answer
	p.answer = nil
	return a, nil
}

func (p *poller) close() {
	p.cancel()
	if p.done != nil {
		<-p.done
	}
}

func (p *poller) run() {
	defer close(p.done)
	for p.ctx.Err() == nil {
		start := time.Now()
		pause := pollRetry
		if p.turn() {
			pause = pollAgain
			select {
			case <-p.restart: // the answer was taken
			case <-p.ctx.Done():
			}
		}
		select {
		case <-time.After(pause - time.Since(start)):
		case <-p.restart:
		case <-p.ctx.Done():
		}
	}
}

// turn makes one request and reports whether it brought an answer.
func (p *poller) turn() bool {
	// Some more time than the server is asked to take.
	ctx, cancel := context.WithTimeout(p.ctx, p.feed.opts.LongPoll+30*time.Second)
	defer cancel()
	p.mu.Lock()
	select {
	case <-p.restart: // it is about this question
	default:
	}
	q := p.asked
	p.abort = cancel
	p.mu.Unlock()

	a, err := p.feed.fetch(ctx, q, p.feed.opts.LongPoll)

	p.mu.Lock()
	defer p.mu.Unlock()
	p.abort = nil
	select {
	case <-p.restart: // asked something else meanwhile
		p.restart <- struct{}{}
		return false
	default:
	}
	if errors.Is(err, ErrUnchanged) {
		err = nil
	}
	p.answer, p.err = a, err
	if a == nil {
		return false
	}
	select {
	case p.changed <- struct{}{}:
	default:
	}
	return true
}
