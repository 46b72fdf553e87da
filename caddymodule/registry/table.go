package registry

import (
	"hash/maphash"
	"iter"
	"math/bits"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// table finds tenants by a name. It is a hash table with linear probing whose
// slots hold short names themselves, so that a lookup touches one cache line
// where a map would touch three. The slots lie in pages, and an [edit] copies
// only the pages it changes: the table before the edit stays as it was, for
// those who still read it.
//
// The zero value is empty. A table is never changed once its edit is done.
type table struct {
	seed  maphash.Seed
	owns  func(t *tenant.Tenant, name string) bool
	pages []*page
	live  int // slots that hold a tenant
	dead  int // slots whose tenant was removed, which probing must walk over
}

const (
	pageSlots = 64
	inline    = 31
)

type page [pageSlots]slot

// slot is empty if it has neither tenant nor size, and dead if it has no tenant
// but size dead.
type slot struct {
	t    *tenant.Tenant
	size uint8 // of the name, or hashed
	name [inline]byte
}

const (
	// hashed marks a name that is too long for the slot: there is its hash
	// instead, and the tenant says whether it is the one.
	hashed   = 0xff
	deadSlot = 0xfe
)

// get returns the tenant of that name or nil.
func (tb *table) get(name string) *tenant.Tenant {
	if len(tb.pages) == 0 {
		return nil
	}
	hash := maphash.String(tb.seed, name)
	for i := tb.first(hash); ; i = tb.next(i) {
		s := &tb.pages[i/pageSlots][i%pageSlots]
		if s.t == nil {
			if s.size == 0 {
				return nil
			}
			continue
		}
		if tb.matches(s, name, hash) {
			return s.t
		}
	}
}

func (tb *table) matches(s *slot, name string, hash uint64) bool {
	if len(name) <= inline {
		return int(s.size) == len(name) && string(s.name[:s.size]) == name
	}
	return s.size == hashed && readHash(s) == hash && tb.owns(s.t, name)
}

// all yields the tenants in no order, one that has several names several times.
func (tb *table) all() iter.Seq[*tenant.Tenant] {
	return func(yield func(*tenant.Tenant) bool) {
		for _, p := range tb.pages {
			for i := range p {
				if t := p[i].t; t != nil && !yield(t) {
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

func readHash(s *slot) uint64 {
	var hash uint64
	for i := range 8 {
		hash = hash<<8 | uint64(s.name[i])
	}
	return hash
}

func writeHash(s *slot, hash uint64) {
	for i := range 8 {
		s.name[7-i] = byte(hash)
		hash >>= 8
	}
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

// clear lays out empty pages, two thirds of which n names would fill.
func (e *edit) clear(n int) {
	count := (n*3/2 + pageSlots) / pageSlots
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
		for j := range p {
			s := &p[j]
			if s.t == nil {
				continue
			}
			hash := readHash(s)
			if s.size != hashed {
				hash = maphash.Bytes(e.seed, s.name[:s.size])
			}
			i := e.first(hash)
			for e.pages[i/pageSlots][i%pageSlots].t != nil {
				i = e.next(i)
			}
			e.pages[i/pageSlots][i%pageSlots] = *s
			e.live++
		}
	}
}

// put stores the tenant under the name, in the place of any other.
func (e *edit) put(name string, t *tenant.Tenant) {
	if (e.live+e.dead+1)*8 > e.slots()*7 {
		e.rehash()
	}
	hash := maphash.String(e.seed, name)
	free, found := uint(0), false
	for i := e.first(hash); ; i = e.next(i) {
		s := &e.pages[i/pageSlots][i%pageSlots]
		if s.t != nil {
			if e.matches(s, name, hash) {
				e.slot(i).t = t
				return
			}
			continue
		}
		if !found {
			free, found = i, true
		}
		if s.size == 0 {
			break
		}
	}
	s := e.slot(free)
	if s.size == deadSlot {
		e.dead--
	}
	*s = slot{t: t, size: hashed}
	if len(name) <= inline {
		s.size = uint8(copy(s.name[:], name))
	} else {
		writeHash(s, hash)
	}
	e.live++
}

// remove takes the name out if the tenant has it.
func (e *edit) remove(name string, t *tenant.Tenant) {
	hash := maphash.String(e.seed, name)
	for i := e.first(hash); ; i = e.next(i) {
		s := &e.pages[i/pageSlots][i%pageSlots]
		if s.t == nil && s.size == 0 {
			return
		}
		if s.t == t && e.matches(s, name, hash) {
			*e.slot(i) = slot{size: deadSlot}
			e.live--
			e.dead++
			return
		}
	}
}

// slot returns a slot to write to.
func (e *edit) slot(i uint) *slot {
	n := i / pageSlots
	if !e.own[n] {
		p := *e.pages[n]
		e.pages[n], e.own[n] = &p, true
	}
	return &e.pages[n][i%pageSlots]
}
