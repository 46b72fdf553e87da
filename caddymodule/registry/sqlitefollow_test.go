package registry

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// followSQLite is follow for the first source made, which never rests.
func followSQLite(t *testing.T, w *sqliteWorld, query string, steps []deltaStep) {
	t.Helper()
	var followed *sqlite
	follow(t, func() Source {
		s, err := NewSQLite(w.path, query)
		if err != nil {
			t.Fatal(err)
		}
		if followed == nil {
			followed = s.(*sqlite)
		}
		return s
	}, func(sql string) {
		w.exec(t, sql)
		rest(&followed.pace, false)
	}, steps)
}

// The default query follows what is written to its tables by the pages it lies in.
func TestSQLiteReadsOnlyTheRowsThatWereWritten(t *testing.T) {
	long := strings.Repeat("x", 20_000) // no field is so long, but somebody's column may be
	w := newSQLiteWorld("wal")(t).(*sqliteWorld)
	w.exec(t, catalogSQL+`
		ALTER TABLE tenants ADD COLUMN note TEXT;
		CREATE TABLE pets (name TEXT);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
		INSERT INTO tenants (id, slug, status) SELECT 'id' || i, 't' || i, 'active' FROM n;
		INSERT INTO tenant_hosts SELECT 'h' || rowid || '.example', slug, 1 FROM tenants WHERE rowid <= 40;
		INSERT INTO tenant_hosts VALUES ('orphan.example', 'nobody', 1)`)
	followSQLite(t, w, "", []deltaStep{
		{"UPDATE tenants SET plan = 'basic' WHERE slug = 't7'", false},
		{"UPDATE tenants SET status = 'suspended' WHERE slug IN ('t8', 't499')", false},
		{"INSERT INTO tenants (rowid, id, slug, status) VALUES (-9007199254740993, 'new', 'new', 'active')", false},
		{"INSERT INTO tenants (rowid, id, slug, status) VALUES (9223372036854775806, 'new2', 'new2', 'active')", false},
		{"INSERT INTO tenant_hosts VALUES ('h41.example', 'new', 0)", false},
		{"UPDATE tenant_hosts SET verified = 1 WHERE slug = 'new'", false},
		{"UPDATE tenant_hosts SET slug = 't2' WHERE host = 'h41.example'", true}, // who lost it was not written
		{"UPDATE tenants SET name = 'n' || rowid", false},
		{"INSERT INTO pets VALUES ('Rex')", false},
		{"CREATE INDEX by_slug ON tenant_hosts (slug)", false},
		{"UPDATE tenants SET note = '" + long + "' WHERE slug = 't9'", true}, // the end of a row has no number
		{"UPDATE tenants SET plan = 'premium' WHERE slug = 't10'", false},
		{"UPDATE tenants SET note = 'y' || note WHERE slug = 't9'", true},
		{"UPDATE tenants SET note = NULL", false},
		{"DELETE FROM tenant_hosts WHERE host = 'h3.example'", true},
		{"DELETE FROM tenants WHERE slug = 't50'", true},
		{"DELETE FROM tenants WHERE rowid > 200 AND rowid < 480", true}, // whole pages
		{"UPDATE tenants SET slug = 'renamed' WHERE slug = 't60'", true},
		{"INSERT INTO tenant_hosts VALUES ('orphan2.example', 'nobody', 1)", true}, // a host that no tenant has got
		{"DELETE FROM tenant_hosts WHERE slug = 'nobody'", true},
		{"UPDATE tenants SET plan = 'free' WHERE slug = 't7'", false},
		{"ALTER TABLE tenants ADD COLUMN hosts TEXT", true},
		{"ALTER TABLE tenants ADD COLUMN upstreams TEXT DEFAULT '10.0.0.1:80'", true}, // written nowhere
		{"UPDATE tenants SET plan = 'basic' WHERE slug = 't7'", false},
		{"VACUUM", false},
		{"UPDATE tenants SET plan = 'premium' WHERE slug = 't7'; DELETE FROM tenants WHERE slug = 't6'; INSERT INTO tenants (id, slug, status) VALUES ('t6', 'another', 'active')", true},
		{"INSERT INTO tenants (id, slug, status) VALUES ('bad', 'Bad', 'active')", true},
		{"UPDATE tenants SET plan = 'free' WHERE slug = 't7'", true}, // because of the fault that is there
		{"DELETE FROM tenants WHERE slug = 'Bad'", true},
		{"UPDATE tenants SET plan = 'basic' WHERE slug = 't7'", false},
		{"DROP TABLE tenant_hosts", true},
		{"UPDATE tenants SET plan = 'free' WHERE slug = 't7'", false},
		{"DELETE FROM tenants", true},
		{"INSERT INTO tenants (id, slug, status) VALUES ('1', 't1', 'active')", false},
	})
}

// What has no pages of rows, and what another query makes of any table, is
// compared row by row.
func TestSQLiteComparesTheRowsOfOtherQueries(t *testing.T) {
	for name, test := range map[string]struct{ schema, query string }{
		"a view":                 {"CREATE TABLE t (slug TEXT, plan TEXT, hosts TEXT); CREATE VIEW tenants AS SELECT * FROM t", ""},
		"a table without rowids": {"CREATE TABLE t (slug TEXT PRIMARY KEY, plan TEXT, hosts TEXT) WITHOUT ROWID; CREATE VIEW tenants AS SELECT * FROM t", ""},
		"another query":          {"CREATE TABLE t (slug TEXT, plan TEXT, hosts TEXT)", "SELECT slug, plan, hosts FROM t"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSQLiteWorld("wal")(t).(*sqliteWorld)
			w.exec(t, test.schema+`; CREATE TABLE pets (name TEXT);
				INSERT INTO t VALUES ('a', 'free', 'a.example'), ('b', 'free', NULL), ('c', 'free', NULL)`)
			followSQLite(t, w, test.query, []deltaStep{
				{"UPDATE t SET plan = 'basic' WHERE slug = 'b'", false},
				{"INSERT INTO pets VALUES ('Rex')", false},
				{"DELETE FROM t WHERE slug = 'c'", false},
				{"INSERT INTO t VALUES ('d', NULL, 'd.example, e.example')", false},
				{"UPDATE t SET hosts = NULL WHERE slug = 'd'; UPDATE t SET hosts = 'd.example' WHERE slug = 'b'", false},
				{"UPDATE t SET slug = 'e' WHERE slug = 'a'", false},
				{"UPDATE t SET plan = 5 WHERE slug = 'b'", true}, // no text
				{"UPDATE t SET plan = 'free' WHERE slug = 'b'", true},
				{"DELETE FROM t", false},
				{"INSERT INTO t VALUES ('f', 'free', NULL)", false},
			})
		})
	}
}

// The row numbers that a page is said to hold are those that are in it.
func TestThePagesOfATableHoldItsRows(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 8))
		w := newSQLiteWorld("delete")(t).(*sqliteWorld)
		w.exec(t, fmt.Sprintf("PRAGMA page_size = %d", 512<<rng.IntN(8)))
		w.exec(t, "CREATE TABLE tenants (slug TEXT, name TEXT)")
		var want []int64
		for range 300 {
			row := rng.Int64() >> rng.IntN(63)
			if rng.IntN(4) == 0 {
				row = -row
			}
			if !slices.Contains(want, row) {
				want = append(want, row)
				w.exec(t, "INSERT INTO tenants (rowid, slug, name) VALUES (?, 'a', ?)", row, strings.Repeat("x", rng.IntN(100)))
			}
		}
		s := w.source(t).(*sqlite)
		if _, _, err := s.peek(within(t), nil); err != nil {
			t.Fatal(err)
		}
		err := s.view(within(t), func(run runner) error {
			c := catalog{tenants: []string{"slug", "name"}}
			pages, rows, err := readSQLitePages(run, c, sqlitePages{})
			if again, rows, err := readSQLitePages(run, c, pages); err != nil || rows.changed || len(again.pages) != len(pages.pages) {
				t.Errorf("seed %d: read again: %+v, %v", seed, rows, err)
			}
			slices.Sort(rows.tenants)
			if slices.Sort(want); !slices.Equal(rows.tenants, want) {
				t.Errorf("seed %d: rows %v, want %v", seed, rows.tenants, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
	}
}

func TestAPageOfNoRowsIsRefused(t *testing.T) {
	seed := maphash.MakeSeed()
	leaf := []byte{0x0d, 0, 0, 0, 1, 0, 0, 0, 0, 10, 3, 0x81, 0x00, 'a', 'b', 'c', 'd'}
	all, fresh, ok := rowsOfPage(leaf, seed, nil)
	if !ok || !slices.Equal(fresh, []int64{128}) || len(all) != 1 {
		t.Errorf("rows %v, %v", fresh, ok)
	}
	leaf[16] = 'e' // behind the row
	if _, fresh, ok = rowsOfPage(leaf, seed, all); !ok || fresh != nil {
		t.Errorf("the same row is %v, %v", fresh, ok)
	}
	leaf[15] = 'e' // its last byte
	if _, fresh, ok = rowsOfPage(leaf, seed, all); !ok || len(fresh) != 1 {
		t.Errorf("another row is %v, %v", fresh, ok)
	}
	huge := []byte{0x0d, 0, 0, 0, 1, 0, 0, 0, 0, 10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}
	for _, page := range [][]byte{nil, leaf[:7], leaf[:8], leaf[:9], leaf[:10], leaf[:12], append([]byte{0x0a}, leaf[1:]...), {0x0d, 0, 0, 0xff, 0xff, 0, 0, 0, 0}, {0x0d, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff}, huge} {
		if _, fresh, ok := rowsOfPage(page, seed, nil); ok {
			t.Errorf("%v: rows %v", page, fresh)
		}
	}
}

// A write to another table must not have all the tenants read.
func TestOtherWritesToTheSameFileAreNoChange(t *testing.T) {
	w := newSQLiteWorld("wal")(t).(*sqliteWorld)
	w.put(t, Record{ID: "1", Slug: "acme"})
	w.exec(t, "CREATE TABLE pets (name TEXT)")
	s := w.source(t).(*sqlite)
	defer s.Close()
	expect(t, s, Record{ID: "1", Slug: "acme", Status: "active"})
	for range 3 {
		w.exec(t, "INSERT INTO pets VALUES ('Rex')")
		rest(&s.pace, false)
		if _, err := s.LoadChanges(within(t)); !errors.Is(err, errKnown) {
			t.Errorf("error = %v", err)
		}
		if !s.pace.resting() {
			t.Error("there is no rest after a look that found nothing")
		}
		if _, err := s.LoadChanges(within(t)); !errors.Is(err, ErrUnchanged) || errors.Is(err, errKnown) {
			t.Errorf("the pages were compared again: %v", err)
		}
	}
}
