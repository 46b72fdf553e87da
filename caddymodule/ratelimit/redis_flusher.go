package ratelimit

import (
	"context"
	"errors"
	"sync"

	"github.com/redis/go-redis/v9"
)

const (
	maxSenders = 4   // pipelines in flight per group
	maxBatch   = 256 // commands per pipeline
)

// once is a command that go-redis must not send twice. A repeated acquire only
// strands permits, but a repeated return gives them back twice. Redirections
// are still followed, because a redirected command was not executed.
type once struct{ *redis.Cmd }

// NoRetry is asked by go-redis before it repeats a command after a network
// error.
func (once) NoRetry() bool { return true }

// job is one command to send. Exactly one of entry and script is set.
type job struct {
	entry *entry // acquire for whoever waits there

	script *redis.Script // or this, whose answer nobody waits for
	keys   []string
	args   []any

	drop []any // or a plain command
}

// group sends the commands of one part of the key space. While a pipeline is
// in flight the next one fills; there is no timer and no goroutine when there
// is nothing to send.
type group struct {
	r       *Redis
	breaker breaker

	mu      sync.Mutex
	queue   []job
	senders int
}

func (g *group) push(j job) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queue = append(g.queue, j)
	if g.senders < maxSenders && (g.senders == 0 || len(g.queue) > 1) {
		g.senders++
		g.r.running.Add(1)
		go g.run()
	}
}

func (g *group) run() {
	defer g.r.running.Done()
	for {
		g.mu.Lock()
		n := min(len(g.queue), maxBatch)
		if n == 0 {
			g.senders--
			g.queue = nil
			g.mu.Unlock()
			return
		}
		jobs := g.queue[:n:n]
		g.queue = g.queue[n:]
		g.mu.Unlock()
		g.flush(jobs)
	}
}

// sent is a command in a pipeline and whom its answer concerns.
type sent struct {
	cmd    once
	script *redis.Script
	keys   []string
	args   []any
	call   *call
}

// flush sends the jobs as one pipeline and hands out the answers.
func (g *group) flush(jobs []job) {
	batch := make([]sent, 0, len(jobs))
	for _, j := range jobs {
		s := sent{script: j.script, keys: j.keys, args: j.args}
		switch {
		case j.entry != nil:
			c := g.r.begin(j.entry)
			if c == nil {
				continue
			}
			s.call, s.script, s.keys = c, acquireScript, acquireKeys(g.r.namespace, c.entry.key, c.p)
			s.args = acquireArgs(c.p, c.ask, c.slot)
		case j.script == nil:
			s.args = j.drop
		}
		batch = append(batch, s)
	}
	if len(batch) == 0 {
		return
	}
	ctx := context.Background()
	g.exec(ctx, batch, false)

	// A server that does not know the script has not executed it; the second
	// attempt carries the source, which makes it known.
	var unknown []sent
	for _, s := range batch {
		if redis.HasErrorPrefix(s.cmd.Err(), "NOSCRIPT") {
			unknown = append(unknown, s)
		} else {
			g.finish(s)
		}
	}
	if len(unknown) > 0 {
		g.exec(ctx, unknown, true)
		for _, s := range unknown {
			g.finish(s)
		}
	}
}

func (g *group) exec(ctx context.Context, batch []sent, source bool) {
	pipe := g.r.client.Pipeline()
	for i := range batch {
		s := &batch[i]
		args := s.args
		if s.script != nil {
			verb, body := "evalsha", s.script.Hash()
			if source {
				verb, body = "eval", g.r.source(s.script)
			}
			args = make([]any, 0, 3+len(s.keys)+len(s.args))
			args = append(args, verb, body, len(s.keys))
			for _, k := range s.keys {
				args = append(args, k)
			}
			args = append(args, s.args...)
		}
		s.cmd = once{redis.NewCmd(ctx, args...)}
		if s.script != nil {
			s.cmd.SetFirstKeyPos(3)
		}
		_ = pipe.Process(ctx, s.cmd)
	}
	g.r.calls.Add(uint64(len(batch)))
	g.r.pipelines.Add(1)
	// Each command has its own error.
	_, _ = pipe.Exec(ctx)
}

func (g *group) finish(s sent) {
	if s.call != nil {
		g.r.complete(g, s.call, s.cmd)
	} else if err := s.cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
		g.r.failures.Add(1)
	}
}

// notExecuted tells whether the store answered that it did not run the command
// and that trying again soon may help.
func notExecuted(err error) bool {
	for _, prefix := range []string{"TRYAGAIN", "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "MOVED", "ASK", "BUSY"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}
