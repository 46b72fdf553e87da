package redis

import (
	"context"
	"sync"

	goredis "github.com/redis/go-redis/v9"
)

// maxBatch is how many commands a pipeline has at most.
const maxBatch = 256

// once is a command that go-redis must not send twice. A repeated acquire only
// strands permits, but a repeated return gives them back twice. Redirections
// are still followed, because a redirected command was not executed.
type once struct{ *goredis.Cmd }

// NoRetry is asked by go-redis before it repeats a command after a network
// error.
func (once) NoRetry() bool { return true }

// job is one command to send: an acquire for whoever waits at entry, a report on
// the requests in progress of slots, or else a script whose answer nobody waits for.
// One that is nothing but sent, a channel, is closed when all before it have been.
type job struct {
	entry *entry
	slots *slotSet
	sent  chan struct{}

	script *script
	keys   []string
	args   []any

	call *call // what entry's acquire became
	cmd  once  // as it was sent
}

// group sends the commands of one part of the key space, one pipeline at a time.
// While it is in flight the next one fills; there is no timer and no goroutine when
// there is nothing to send.
type group struct {
	r       *Limiter
	breaker breaker
	seq     int64 // of the batch that is being sent

	mu      sync.Mutex
	queue   []job
	sending bool
}

func (g *group) push(j job) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queue = append(g.queue, j)
	if !g.sending {
		g.sending = true
		go g.send()
	}
}

// send sends until the queue is empty.
func (g *group) send() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.queue) > 0 {
		n := min(len(g.queue), maxBatch)
		jobs := g.queue[:n:n]
		g.queue = g.queue[n:]
		g.mu.Unlock()
		g.flush(jobs)
		g.mu.Lock()
	}
	g.queue, g.sending = nil, false
}

// flush sends the jobs as one pipeline and hands out the answers.
func (g *group) flush(jobs []job) {
	g.seq++
	batch := jobs[:0]
	for _, j := range jobs {
		if g.prepare(&j) {
			batch = append(batch, j)
		}
	}
	g.exec(batch, false)

	// A server that does not know the script has not executed it; the second
	// attempt carries the source, which makes it known.
	unknown := batch[:0]
	for _, j := range batch {
		if j.script != nil && goredis.HasErrorPrefix(j.cmd.Err(), "NOSCRIPT") {
			unknown = append(unknown, j)
		} else {
			g.finish(j)
		}
	}
	g.exec(unknown, true)
	for _, j := range unknown {
		g.finish(j)
	}
}

// prepare writes the command of a job, and tells whether there still is one.
func (g *group) prepare(j *job) bool {
	r := g.r
	switch {
	case j.entry != nil:
		c := r.begin(j.entry, g.seq)
		if c == nil {
			return false
		}
		j.call, j.script = c, acquireScript
		j.keys, j.args = acquireKeys(r.opts.Namespace, c.entry.key, c.p), acquireArgs(c.p, c.ask, &r.slots, c.slots)
	case j.slots != nil:
		j.script, j.keys, j.args = slotsScript, []string{j.slots.key}, r.slots.statement(j.slots, g.seq)
	}
	return true
}

// exec sends a batch and waits. Each command then has its answer, or an error.
func (g *group) exec(batch []job, source bool) {
	ctx := context.Background()
	pipe := g.r.client.Pipeline()
	for i := range batch {
		if j := &batch[i]; j.script != nil {
			j.cmd = once{goredis.NewCmd(ctx, j.script.command(j.keys, j.args, source)...)}
			j.cmd.SetFirstKeyPos(3)
			_ = pipe.Process(ctx, j.cmd)
		}
	}
	g.r.calls.Add(uint64(pipe.Len()))
	_, _ = pipe.Exec(ctx) // does nothing if there is nothing to send
}

func (g *group) finish(j job) {
	if j.sent != nil {
		close(j.sent)
		return
	}
	if j.call != nil {
		g.r.complete(j.call, j.cmd)
		return
	}
	err := j.cmd.Err()
	if err != nil {
		g.r.failures.Add(1)
	}
	if j.slots != nil {
		g.r.slots.finish([]*slotSet{j.slots}, err)
	}
}
