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
