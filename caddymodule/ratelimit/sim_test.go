package ratelimit

import (
	"container/heap"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// The simulator runs several gateways and a store in virtual time, with the
// same purse, queue and decision code as the real limiter, over a network
// that delays, loses and repeats, with clocks that run at different rates, and
// with gateways that crash, are cut off and change their plan. An oracle that
// knows nothing of the algorithm counts admissions.

// mutant is a broken variant that the checks must notice.
type mutant uint8

const (
	sound mutant = iota
	chargeWithoutHold
	deadlineFromReply
	returnToNewestCell
	returnTwice
	returnAndKeep
	spendAfterDeadline
	forgetAfterWindow
)

var mutantNames = map[mutant]string{
	chargeWithoutHold:  "charges do not include the hold",
	deadlineFromReply:  "deadline counted from the reply",
	returnToNewestCell: "returned to another cell",
	returnTwice:        "returned twice",
	returnAndKeep:      "returned and still spent",
	spendAfterDeadline: "spent after the deadline",
	forgetAfterWindow:  "state expires after the window alone",
}

type event struct {
	at  int64
	seq int
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}

// simAccount is an account with its incarnation.
type simAccount struct {
	account
	inc     int64
	charged int64
}

type world struct {
	rng     *rand.Rand
	now     int64
	seq     int
	queue   events
	mutant  mutant
	policy  *Policy
	clients map[Key]*simAccount
	tenant  *simAccount
	gates   []*simGateway

	lazy  bool         // nobody returns permits before their deadline
	delay func() int64 // of one message
	loss  float64
	twice float64

	admissions map[Key][]admission
	requests   int
	calls      int
	returns    int
}

type admission struct{ at, cost int64 }

const simStart = 1_800_000_000 * microsPerSecond

func newWorld(t testing.TB, seed uint64, gateways int, limits string) *world {
	w := &world{
		rng: rand.New(rand.NewPCG(seed, 7)), now: simStart,
		policy: simPolicy(t, limits), clients: map[Key]*simAccount{}, tenant: new(simAccount),
		admissions: map[Key][]admission{},
	}
	w.delay = func() int64 { return 100 + w.rng.Int64N(500) }
	for i := range gateways {
		w.gates = append(w.gates, &simGateway{
			w: w, rate: 1 + (w.rng.Float64()-0.5)*4e-4, offset: int64(i+1) * microsPerDay,
			entries: map[Key]*entry{},
		})
	}
	return w
}

func simPolicy(t testing.TB, limits string) *Policy {
	t.Helper()
	list, err := ParseLimits(limits)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPolicy(list, Deny)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func simKey(i int) Key {
	return Key{Tenant: "acme", Client: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}
}

func (w *world) after(d int64, do func()) {
	w.seq++
	heap.Push(&w.queue, event{w.now + max(0, d), w.seq, do})
}

func (w *world) run(until int64) {
	for len(w.queue) > 0 && w.queue[0].at <= until {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.do()
	}
	w.now = max(w.now, until)
}

// accounts returns the stored accounts of key, making them as the script does.
func (w *world) accounts(key Key) (*[2]*account, *[2]*simAccount) {
	if w.clients[key] == nil {
		w.clients[key] = new(simAccount)
	}
	sim := [2]*simAccount{PerClient: w.clients[key], PerTenant: w.tenant}
	if w.mutant == forgetAfterWindow {
		for _, a := range sim {
			for _, win := range a.windows {
				if w.now >= a.charged+int64(win.id) {
					*a = simAccount{}
					break
				}
			}
		}
	}
	return &[2]*account{&sim[0].account, &sim[1].account}, &sim
}

// acquire is the store's side of a call.
func (w *world) acquire(key Key, p *Policy, a ask) (v verdict, inc [2]int64) {
	w.calls++
	accounts, sim := w.accounts(key)
	if w.mutant == chargeWithoutHold {
		a.hold = 0
	}
	decide(p, accounts, w.now, a, &v)
	i := 0
	for level, acc := range sim {
		if !p.levels[level] {
			continue
		}
		if v.granted+v.extra > 0 {
			acc.charged = w.now
			if acc.inc == 0 {
				acc.inc = w.now
			}
		}
		inc[i] = acc.inc
		i++
	}
	return v, inc
}

// takeBack is the store's side of a return.
func (w *world) takeBack(key Key, l lot) {
	w.returns++
	accounts, sim := w.accounts(key)
	i := 0
	for level, acc := range sim {
		if l.p.levels[level] {
			if acc.inc != l.inc[i] {
				return
			}
			i++
		}
	}
	at := l.at
	if w.mutant == returnToNewestCell {
		// As if it had been charged with the latest charge there is.
		for _, win := range accounts[PerClient].windows {
			if n := len(win.cells); n > 0 {
				at = win.cells[n-1].exp - int64(win.id) - l.hold
			}
		}
	}
	giveBack(l.p, accounts, w.now, at, l.hold, l.n)
}

// lose forgets everything stored, as a restart without persistence does.
func (w *world) lose() {
	clear(w.clients)
	w.tenant = new(simAccount)
}

// simGateway is one gateway: the real entries and purses, and in place of the
// sockets and timers the world's events.
type simGateway struct {
	w       *world
	rate    float64
	offset  int64
	entries map[Key]*entry
	cut     bool // partitioned from the store
	life    int  // counts crashes: answers to an earlier life are lost
}

const simBudget = 20_000

func (g *simGateway) clock() int64 {
	return g.offset + int64(float64(g.w.now-simStart)*g.rate)
}

func (g *simGateway) entry(key Key) *entry {
	if g.entries[key] == nil {
		g.entries[key] = &entry{key: key}
	}
	return g.entries[key]
}

// request is one request at the gateway. done is told whether it was admitted
// and may be nil.
func (g *simGateway) request(key Key, cost int64, done func(Decision, error)) {
	w := g.w
	w.requests++
	p := w.policy
	e := g.entry(key)
	g.giveBack(key, e.purse.adopt(g.clock(), p))
	var d Decision
	switch e.purse.take(g.clock(), p, cost, &d) {
	case admitted:
		w.admit(key, cost)
		fallthrough
	case refused:
		if d.Allowed && !e.calling && e.purse.low(g.clock(), p, p.hold) {
			g.call(e)
		}
		if done != nil {
			done(d, nil)
		}
		return
	}
	wt := &waiter{p: p, cost: cost, done: make(chan struct{})}
	e.waiters = append(e.waiters, wt)
	if !e.calling {
		g.call(e)
	}
	w.after(simBudget, func() {
		select {
		case <-wt.done:
		default:
			wt.gone = true
			if done != nil {
				done(Decision{}, ErrStoreUnavailable)
			}
		}
	})
	if done != nil {
		g.onDone(wt, done)
	}
}

func (g *simGateway) onDone(wt *waiter, done func(Decision, error)) {
	g.w.after(100, func() {
		select {
		case <-wt.done:
			done(wt.d, wt.err)
		default:
			if !wt.gone {
				g.onDone(wt, done)
			}
		}
	})
}

func (w *world) admit(key Key, cost int64) {
	w.admissions[key] = append(w.admissions[key], admission{w.now, cost})
}

// call sends an acquire for whoever waits at e.
func (g *simGateway) call(e *entry) {
	w := g.w
	e.calling = true
	life := g.life
	waiters := e.batch(maxBatch)
	p, unit := e.purse.policy, int64(1)
	if len(waiters) > 0 {
		p, unit = waiters[0].p, waiters[0].cost
	}
	sent := g.clock()
	a := e.purse.ask(sent, p, p.hold, unit, len(waiters))
	if a.want == 0 {
		e.calling = false
		return
	}
	// The reply, or the read timeout, ends the call.
	ended := false
	end := func(reply func()) {
		if ended || life != g.life {
			return
		}
		ended = true
		reply()
		e.calling = false
		if len(e.waiters) > 0 {
			g.call(e)
		}
	}
	copies := 1
	if w.rng.Float64() < w.twice {
		copies = 2
	}
	for range copies {
		if g.cut || w.rng.Float64() < w.loss {
			continue
		}
		w.after(w.delay(), func() {
			v, inc := w.acquire(e.key, p, a)
			at := w.now
			if g.cut || w.rng.Float64() < w.loss {
				return
			}
			w.after(w.delay(), func() {
				end(func() { g.answer(e, p, a, &v, inc, waiters, sent, at) })
			})
		})
	}
	w.after(20*microsPerSecond, func() { end(func() { fail(waiters, ErrStoreUnavailable) }) })
}

func (g *simGateway) answer(e *entry, p *Policy, a ask, v *verdict, inc [2]int64, waiters []*waiter, sent, decided int64) {
	w := g.w
	now := g.clock()
	if w.mutant == deadlineFromReply {
		sent = now
	}
	if a.late(sent, now) {
		fail(waiters, ErrStoreUnavailable)
		waiters = nil
	}
	current := e.purse.hash == p.hash
	inHand := v.extra
	if current {
		inHand += e.purse.inHand(now)
	}
	used := serve(p, a, v, waiters, inHand)
	for _, wt := range waiters {
		if !wt.gone && wt.d.Allowed {
			at := w.now
			if a.hold == 0 {
				// Decided request by request: the store's decision is the instant.
				at = decided
			}
			w.admissions[e.key] = append(w.admissions[e.key], admission{at, wt.cost})
		}
	}
	if !current {
		if n := v.granted + v.extra - used; n > 0 {
			g.giveBack(e.key, []lot{{n: n, p: p, at: v.now, hold: a.hold, inc: inc}})
		}
		return
	}
	g.giveBack(e.key, e.purse.answer(p, a, v, inc, sent, now, used))
	for i := range e.purse.lots {
		if w.mutant == spendAfterDeadline && e.purse.lots[i].n > 0 {
			e.purse.lots[i].deadline = 1 << 62
		}
	}
	g.scheduleRetire(e)
	kept := e.waiters[:0]
	for _, wt := range e.waiters {
		if wt.gone {
			continue
		}
		if wt.p.hash == e.purse.hash && e.purse.take(now, wt.p, wt.cost, &wt.d) != askStore {
			if wt.d.Allowed {
				w.admit(e.key, wt.cost)
			}
			close(wt.done)
			continue
		}
		kept = append(kept, wt)
	}
	e.waiters = kept
}

// scheduleRetire plays the janitor.
func (g *simGateway) scheduleRetire(e *entry) {
	life := g.life
	for _, l := range e.purse.lots {
		if l.n == 0 {
			continue
		}
		g.w.after(l.deadline-l.hold/10-g.clock(), func() {
			if life != g.life {
				return
			}
			if g.w.lazy {
				return
			}
			lots := e.purse.lots
			back := e.purse.retire(g.clock())
			if g.w.mutant == returnAndKeep && len(back) > 0 {
				e.purse.lots = lots
			}
			g.giveBack(e.key, back)
		})
	}
}

func (g *simGateway) giveBack(key Key, lots []lot) {
	w := g.w
	for _, l := range lots {
		copies := 1
		if w.mutant == returnTwice {
			copies = 2
		}
		for range copies {
			if g.cut || w.rng.Float64() < w.loss {
				continue
			}
			w.after(w.delay(), func() { w.takeBack(key, l) })
		}
	}
}

// crash loses what the gateway held, without a word to the store.
func (g *simGateway) crash() {
	g.life++
	g.entries = map[Key]*entry{}
}
