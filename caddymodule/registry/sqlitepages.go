package registry

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errNoPages says that the tables do not lie in pages that can be read: they are
// views, or tables without row numbers, or the library was built without the tables
// that tell.
var errNoPages = errors.New("the tables have no pages of rows")

// written is what the pages that have changed hold.
type written struct {
	tenants, hosts []int64 // row numbers
	changed        bool    // a page is new, different or gone
}

// sqlitePages returns how the tables were made, the sum of each of their pages, and
// what those hold that old has not. If old is nil, nobody wants to know.
func sqlitePages(run runner, c catalog, old map[int64]sum) (schema string, pages map[int64]sum, rows written, err error) {
	pages = make(map[int64]sum, len(old))
	note := func(v []any) error {
		schema += fmt.Sprintf("%q\n", v[0])
		return nil
	}
	if err = run("PRAGMA encoding", nil, noHead, note); err != nil {
		return "", nil, rows, err
	}
	kept := 0
	for _, table := range []struct {
		name string
		rows *[]int64
	}{{"tenants", &rows.tenants}, {"tenant_hosts", &rows.hosts}} {
		if table.name == "tenant_hosts" && len(c.hosts) == 0 {
			break
		}
		if err = run("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", []any{table.name}, noHead, note); err != nil {
			return "", nil, rows, err
		}
		before := len(pages)
		err = run("SELECT p.pgno, s.pagetype, p.data FROM dbstat s JOIN sqlite_dbpage p ON p.pgno = s.pageno WHERE s.name = ?", []any{table.name}, noHead, func(v []any) error {
			number, _ := v[0].(int64)
			data, _ := v[2].([]byte)
			s := sumOf(data)
			pages[number] = s
			switch {
			case v[1] == "leaf" && !isTableLeaf(data):
				return errNoPages
			case old == nil:
				return nil
			case old[number] == s:
				kept++
				return nil
			}
			rows.changed = true
			if v[1] == "internal" {
				return nil // it only leads to the pages that hold rows
			}
			found, ok := rowsOfPage(data)
			if !ok {
				return errNoPages // the end of a long row
			}
			*table.rows = append(*table.rows, found...)
			return nil
		})
		if err == nil && len(pages) == before {
			err = errNoPages
		}
		if err != nil {
			return "", nil, rows, err
		}
	}
	rows.changed = rows.changed || kept < len(old)
	return schema, pages, rows, nil
}

// isTableLeaf tells the pages that hold rows, in SQLite's file format, section 1.6,
// "B-tree Pages".
func isTableLeaf(page []byte) bool { return len(page) > leafHeader && page[0] == 0x0d }

const leafHeader = 8

// rowsOfPage returns the numbers of the rows in such a page.
func rowsOfPage(page []byte) ([]int64, bool) {
	if !isTableLeaf(page) {
		return nil, false
	}
	rows := make([]int64, binary.BigEndian.Uint16(page[3:]))
	for i := range rows {
		place := leafHeader + 2*i
		if place+2 > len(page) {
			return nil, false
		}
		cell := int(binary.BigEndian.Uint16(page[place:]))
		_, cell, ok := sqliteVarint(page, cell) // the length of the row
		if !ok {
			return nil, false
		}
		if rows[i], _, ok = sqliteVarint(page, cell); !ok {
			return nil, false
		}
	}
	return rows, true
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
