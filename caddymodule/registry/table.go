package registry

import (
	"hash/maphash"
	"iter"
	"math/bits"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// table finds tenants by a name. It is a hash table with linear probing whose
// slots hold short names themselves, so that a lookup misses the caches about
// once where a map would three times. The slots lie in pages, and an [edit]
// copies only the pages it changes: the table before the edit stays as it was,
// for those who still read it.
//
// The zero value is empty. A table is never changed once its edit is done.
type table struct {
	seed  maphash.Seed
	owns  func(t *tenant.Tenant, name string) bool
	pages []*page
	live  int // slots that hold a tenant
	dead  int // slots whose tenant was removed, which probing must walk over
}

// A page is small enough to be copied for one change, and large enough that the
// list of the pages of a million names stays close to the processor: 254 slots
// are what fits the allocator's class of 10 KiB.
const pageSlots = 254

// page has the names apart from the tenants, so that two names share a cache line
// and none lies in two. With the eight bytes that the allocator puts before an
// object of this size, the names begin at a multiple of their own.
type page struct {
	_       [24]byte
	names   [pageSlots]name
	tenants [pageSlots]*tenant.Tenant
}

// name is the one in a slot. Its size is 0 if the slot is empty.
type name struct {
	size uint8
	text [inline]byte
}

const (
	inline = 31
	// hashed marks a name that is too long for the slot: there is its hash
	// instead, and the tenant says whether it is the one.
	hashed = 0xff
	// dead marks a slot whose tenant was removed.
	dead = 0xfe
)

// get returns the tenant of that name or nil. It spells out what [table.first],
// [table.next] and [table.matches] do: calls would cost a tenth of it.
func (tb *table) get(name string) *tenant.Tenant {
	pages := tb.pages
	if len(pages) == 0 {
		return nil
	}
	hash := maphash.String(tb.seed, name)
	slots := uint(len(pages)) * pageSlots
	hi, _ := bits.Mul64(hash, uint64(slots))
	for i := uint(hi); ; {
		p, k := pages[i/pageSlots], i%pageSlots
		n := &p.names[k]
		switch {
		case len(name) <= inline && int(n.size) == len(name) && string(n.text[:len(name)]) == name:
			return p.tenants[k] // nil for an empty name, which an empty slot has
		case len(name) > inline && n.size == hashed && n.hash() == hash && tb.owns(p.tenants[k], name):
			return p.tenants[k]
		case n.size == 0:
			return nil
		}
		if i++; i == slots {
			i = 0
		}
	}
}

func (tb *table) matches(p *page, k uint, name string, hash uint64) bool {
	n := &p.names[k]
	if len(name) <= inline {
		return int(n.size) == len(name) && string(n.text[:n.size]) == name
	}
	return n.size == hashed && n.hash() == hash && tb.owns(p.tenants[k], name)
}

// all yields the tenants in no order, one that has several names several times.
func (tb *table) all() iter.Seq[*tenant.Tenant] {
	return func(yield func(*tenant.Tenant) bool) {
		for _, p := range tb.pages {
			for _, t := range p.tenants {
				if t != nil && !yield(t) {
					return
				}
			}
		}
	}
}

func (tb *table) slots() int { return len(tb.pages) * pageSlots }

// first maps the hash evenly to a slot, whatever the number of slots is.
func (tb *table) first(hash uint64) uint {
	hi, _ := bits.Mul64(hash, uint64(tb.slots()))
	return uint(hi)
}

func (tb *table) next(i uint) uint {
	if i++; i == uint(tb.slots()) {
		return 0
	}
	return i
}

func (n *name) hash() uint64 {
	var hash uint64
	for i := range 8 {
		hash = hash<<8 | uint64(n.text[i])
	}
	return hash
}

func newName(text string, hash uint64) name {
	if len(text) <= inline {
		n := name{size: uint8(len(text))}
		copy(n.text[:], text)
		return n
	}
	n := name{size: hashed}
	for i := range 8 {
		n.text[7-i] = byte(hash)
		hash >>= 8
	}
	return n
}

// edit is a table in the making. It is used by one goroutine.
type edit struct {
	table
	own []bool // pages that no other table has
}

// newEdit begins an empty table with room for n names.
func newEdit(n int, owns func(*tenant.Tenant, string) bool) *edit {
	e := &edit{table: table{seed: maphash.MakeSeed(), owns: owns}}
	e.clear(n)
	return e
}

// edit begins a copy of the table, which shares every page until it is changed.
func (tb *table) edit() *edit {
	e := &edit{table: *tb, own: make([]bool, len(tb.pages))}
	e.pages = append([]*page(nil), tb.pages...)
	return e
}

// done returns the table. The edit is not used any more.
func (e *edit) done() *table {
	if len(e.pages) > 1 && e.live*5 < e.slots() {
		e.rehash()
	}
	tb := e.table
	return &tb
}

// clear lays out empty pages, four sevenths of which n names would fill: a fuller
// table takes less memory, but more cache lines for a lookup.
func (e *edit) clear(n int) {
	count := (n*7/4 + pageSlots) / pageSlots
	e.pages, e.own = make([]*page, count), make([]bool, count)
	e.live, e.dead = 0, 0
	for i := range e.pages {
		e.pages[i], e.own[i] = new(page), true
	}
}

// rehash moves everything to pages of the right number, without the dead.
func (e *edit) rehash() {
	old := e.pages
	e.clear(e.live + 1)
	for _, p := range old {
		for j, t := range p.tenants {
			if t == nil {
				continue
			}
			n := &p.names[j]
			hash := n.hash()
			if n.size != hashed {
				hash = maphash.Bytes(e.seed, n.text[:n.size])
			}
			i := e.first(hash)
			for e.pages[i/pageSlots].tenants[i%pageSlots] != nil {
				i = e.next(i)
			}
			e.pages[i/pageSlots].names[i%pageSlots] = *n
			e.pages[i/pageSlots].tenants[i%pageSlots] = t
			e.live++
		}
	}
}

// put stores the tenant under the name, which is not empty, in the place of any
// other. It returns that other one, nil if there was none.
func (e *edit) put(name string, t *tenant.Tenant) *tenant.Tenant {
	if (e.live+e.dead+1)*4 > e.slots()*3 {
		e.rehash()
	}
	hash := maphash.String(e.seed, name)
	free, found := uint(0), false
	for i := e.first(hash); ; i = e.next(i) {
		p, k := e.pages[i/pageSlots], i%pageSlots
		if e.matches(p, k, name, hash) {
			other := p.tenants[k]
			e.page(i).tenants[k] = t
			return other
		}
		size := p.names[k].size
		if !found && (size == 0 || size == dead) {
			free, found = i, true
		}
		if size == 0 {
			break
		}
	}
	p, k := e.page(free), free%pageSlots
	if p.names[k].size == dead {
		e.dead--
	}
	p.names[k], p.tenants[k] = newName(name, hash), t
	e.live++
	return nil
}

// remove takes the name out if the tenant has it.
func (e *edit) remove(name string, t *tenant.Tenant) {
	hash := maphash.String(e.seed, name)
	for i := e.first(hash); ; i = e.next(i) {
		p, k := e.pages[i/pageSlots], i%pageSlots
		switch {
		case p.names[k].size == 0:
			return
		case p.tenants[k] == t && e.matches(p, k, name, hash):
			p = e.page(i)
			p.names[k].size, p.tenants[k] = dead, nil
			e.live--
			e.dead++
			return
		}
	}
}

// page returns the slot's page to write to.
func (e *edit) page(i uint) *page {
	n := i / pageSlots
	if !e.own[n] {
		p := *e.pages[n]
		e.pages[n], e.own[n] = &p, true
	}
	return e.pages[n]
}
