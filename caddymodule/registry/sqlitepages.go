package registry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
)

// errNoPages says that the tables do not lie in pages that can be read: they are
// views, or tables without row numbers, or the library was built without the tables
// that tell.
var errNoPages = errors.New("the tables have no pages of rows")

// sqlitePages is what the tables of a catalog consist of.
type sqlitePages struct {
	schema string // how the tables were made
	pages  map[int64]sqlitePage
	seed   maphash.Seed
}

type sqlitePage struct {
	sum  sum
	rows []uint64 // a hash of each, with its number
}

// written is what the pages hold that others had not.
type written struct {
	tenants, hosts []int64 // row numbers
	changed        bool    // a page is new, different or gone
}

// readSQLitePages also returns what the pages hold that the old ones have not.
func readSQLitePages(run runner, c catalog, old sqlitePages) (p sqlitePages, rows written, err error) {
	p = sqlitePages{pages: make(map[int64]sqlitePage, len(old.pages)), seed: old.seed}
	if old.pages == nil {
		p.seed = maphash.MakeSeed()
	}
	note := func(v []any) error {
		p.schema += fmt.Sprintf("%q\n", v[0])
		return nil
	}
	if err := run("PRAGMA encoding", nil, noHead, note); err != nil {
		return p, rows, err
	}
	kept := 0
	for _, table := range []struct {
		name string
		rows *[]int64
	}{{"tenants", &rows.tenants}, {"tenant_hosts", &rows.hosts}} {
		if table.name == "tenant_hosts" && len(c.hosts) == 0 {
			break
		}
		if err := run("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", []any{table.name}, noHead, note); err != nil {
			return p, rows, err
		}
		err := sqliteTablePages(run, table.name, func(number int64, kind any, data []byte) error {
			s, known := sumOf(data), old.pages[number]
			if s == known.sum {
				kept++
				p.pages[number] = known
				return nil
			}
			rows.changed = true
			page := sqlitePage{sum: s}
			switch kind {
			case "internal": // it only leads to the pages that hold rows
			case "leaf":
				var fresh []int64
				var ok bool
				if page.rows, fresh, ok = rowsOfPage(data, p.seed, known.rows); !ok {
					return errNoPages
				}
				*table.rows = append(*table.rows, fresh...)
			default: // the end of a long row, which does not say whose
				if old.pages != nil {
					return errNoPages
				}
			}
			p.pages[number] = page
			return nil
		})
		if err != nil {
			return p, rows, err
		}
	}
	rows.changed = rows.changed || kept < len(old.pages)
	return p, rows, nil
}

// sqliteTablePages calls page for each page of a table with its number, its kind in
// the words of the table dbstat, and what is in it. A view has none, nor has a
// virtual table: that is [errNoPages].
func sqliteTablePages(run runner, table string, page func(number int64, kind any, data []byte) error) error {
	pages := 0
	err := run("SELECT p.pgno, s.pagetype, p.data FROM dbstat s JOIN sqlite_dbpage p ON p.pgno = s.pageno WHERE s.name = ?", []any{table}, noHead, func(v []any) error {
		number, _ := v[0].(int64)
		data, _ := v[2].([]byte)
		pages++
		return page(number, v[1], data)
	})
	if err == nil && pages == 0 {
		err = errNoPages
	}
	return err
}

// rowsOfPage returns a hash of each row in a page of SQLite's file format, section
// 1.6, "B-tree Pages", and the numbers of those that are not among the known. It
// reports false for any page but a leaf of a table.
func rowsOfPage(page []byte, seed maphash.Seed, known []uint64) (all []uint64, fresh []int64, ok bool) {
	const header, tableLeaf = 8, 0x0d
	if len(page) < header || page[0] != tableLeaf {
		return nil, nil, false
	}
	all = make([]uint64, binary.BigEndian.Uint16(page[3:]))
	for i := range all {
		place := header + 2*i
		if place+2 > len(page) {
			return nil, nil, false
		}
		begin := int(binary.BigEndian.Uint16(page[place:]))
		size, at, ok1 := sqliteVarint(page, begin)
		number, at, ok2 := sqliteVarint(page, at)
		if !ok1 || !ok2 || size < 0 {
			return nil, nil, false
		}
		end := len(page) // of a long row, whose end is elsewhere
		if size < int64(end-at) {
			end = at + int(size)
		}
		all[i] = maphash.Bytes(seed, page[begin:end])
		if !slices.Contains(known, all[i]) {
			fresh = append(fresh, number)
		}
	}
	return all, fresh, true
}

// sqliteVarint reads a number of one to nine bytes, the ninth of which counts as a
// whole, and returns where it ends.
func sqliteVarint(page []byte, at int) (int64, int, bool) {
	var n uint64
	for i := range 9 {
		if at >= len(page) {
			break
		}
		b := page[at]
		at++
		if i == 8 {
			return int64(n<<8 | uint64(b)), at, true
		}
		n = n<<7 | uint64(b&0x7f)
		if b < 0x80 {
			return int64(n), at, true
		}
	}
	return 0, 0, false
}
