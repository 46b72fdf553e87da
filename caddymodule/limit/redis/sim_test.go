package redis

import (
	"container/heap"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

// The simulator runs several gateways and a store in virtual time, with the
// same cache, queue and decision code as the real limiter, over a network
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

// simCounter is a counter with its incarnation.
type simCounter struct {
	window.Counter
	inc     int64
	charged int64
}

type world struct {
	rng     *rand.Rand
	now     int64
	seq     int
	queue   events
	mutant  mutant
	policy  *limit.Policy
	clients map[limit.Key]*simCounter
	tenant  *simCounter
	gates   []*simGateway

	exact bool         // nothing is leased
	lazy  bool         // nobody returns permits before their deadline
	delay func() int64 // of one message
	loss  float64
	twice float64

	admissions map[limit.Key][]admission
	requests   int
	calls      int
	returns    int
}

type admission struct{ at, cost int64 }

const (
	hour     = 3600 * window.Second
	day      = 24 * hour
	simStart = 1_800_000_000 * window.Second
)

func newWorld(t testing.TB, seed uint64, gateways int, limits string) *world {
	w := &world{
		rng: rand.New(rand.NewPCG(seed, 7)), now: simStart,
		policy: simPolicy(t, limits), clients: map[limit.Key]*simCounter{}, tenant: new(simCounter),
		admissions: map[limit.Key][]admission{},
	}
	w.delay = func() int64 { return 100 + w.rng.Int64N(500) }
	for i := range gateways {
		w.gates = append(w.gates, &simGateway{
			w: w, rate: 1 + (w.rng.Float64()-0.5)*4e-4, offset: int64(i+1) * day,
			entries: map[limit.Key]*entry{},
		})
	}
	return w
}

func simPolicy(t testing.TB, limits string) *limit.Policy {
	t.Helper()
	list, err := limit.Parse(limits)
	if err != nil {
		t.Fatal(err)
	}
	p, err := limit.NewPolicy(list, limit.Deny)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// terms are those under which every gateway leases: also small quotas, because
// the seams show with them.
func (w *world) terms(p *limit.Policy) terms {
	if w.exact {
		return terms{}
	}
	return termsOf(p, 0)
}

func simKey(i int) limit.Key {
	return limit.Key{Tenant: "acme", Client: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}
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

// counters returns the stored counters of key, making them as the script does.
func (w *world) counters(key limit.Key) (*window.Counters, *[2]*simCounter) {
	if w.clients[key] == nil {
		w.clients[key] = new(simCounter)
	}
	sim := [2]*simCounter{limit.PerClient: w.clients[key], limit.PerTenant: w.tenant}
	if w.mutant == forgetAfterWindow {
		for _, c := range sim {
			for _, win := range c.Windows {
				if w.now >= c.charged+int64(win.ID) {
					*c = simCounter{}
					break
				}
			}
		}
	}
	return &window.Counters{&sim[0].Counter, &sim[1].Counter}, &sim
}

// acquire is the store's side of a call.
func (w *world) acquire(key limit.Key, p *limit.Policy, a window.Ask) (v window.Verdict, inc [2]int64) {
	w.calls++
	counters, sim := w.counters(key)
	if w.mutant == chargeWithoutHold {
		a.Hold = 0
	}
	window.Decide(p, counters, w.now, a, &v)
	i := 0
	for level, c := range sim {
		if !p.Names(limit.Level(level)) {
			continue
		}
		if v.Granted+v.Extra > 0 {
			c.charged = w.now
			if c.inc == 0 {
				c.inc = w.now
			}
		}
		inc[i] = c.inc
		i++
	}
	return v, inc
}

// takeBack is the store's side of a return.
func (w *world) takeBack(key limit.Key, l lease) {
	w.returns++
	counters, sim := w.counters(key)
	i := 0
	for level, c := range sim {
		if l.p.Names(limit.Level(level)) {
			if c.inc != l.inc[i] {
				return
			}
			i++
		}
	}
	at := l.at
	if w.mutant == returnToNewestCell {
		// As if it had been charged with the latest charge there is.
		for _, win := range counters[limit.PerClient].Windows {
			if n := len(win.Cells); n > 0 {
				at = win.Cells[n-1].Exp - int64(win.ID) - l.hold
			}
		}
	}
	window.GiveBack(l.p, counters, w.now, at, l.hold, l.n)
}

// lose forgets everything stored, as a restart without persistence does.
func (w *world) lose() {
	clear(w.clients)
	w.tenant = new(simCounter)
}

// simKeys is simKey for more keys than fit into a byte.
func simKeys(i int) limit.Key {
	return limit.Key{Tenant: "acme", Client: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}
}
