package registry

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// sqliteTables follows the tables tenants and tenant_hosts by the pages of the file
// that hold their rows: SQLite tells which pages those are and what is in them. To
// compare them takes a tenth of the time that the rows take, it tells a change of
// the tenants from all the other writes to the same file, and the pages that are
// new or different hold the rows that were written. Sixteen bytes are kept of each
// page and eight of each row.
type sqliteTables struct {
	known bool
	sqlitePages
	// orphans are the hosts whose slug no tenant has.
	orphans int
}

// mostWritten is how many rows are looked for by their numbers. To read all of them
// is quicker if there are more.
const mostWritten = 10_000

// reset notes the pages, in the transaction in which everything is read.
func (p *sqliteTables) reset(run runner, c catalog) {
	pages, _, err := readSQLitePages(run, c, sqlitePages{})
	// Whatever is wrong with the pages, the rows may be read.
	*p = sqliteTables{known: err == nil, sqlitePages: pages}
}

// count notes how many hosts there are beside those of the records.
func (p *sqliteTables) count(run runner, c catalog, records []Record) error {
	hosts, err := sqliteHosts(run, c)
	p.orphans = hosts - countRecordHosts(records)
	return err
}

// changes reads the rows in the pages that have changed, and those of the slugs. It
// returns [ErrUnchanged] if there are none. Rows that are gone show in the counts.
func (p *sqliteTables) changes(run runner, c catalog, slugs []string) (Changes, error) {
	pages, rows, err := readSQLitePages(run, c, p.sqlitePages)
	if errors.Is(err, errNoPages) || err == nil && (pages.schema != p.schema || len(rows.tenants)+len(rows.hosts) > mostWritten) {
		return Changes{}, ErrFull
	}
	if err != nil {
		return Changes{}, err
	}
	p.sqlitePages = pages
	if !rows.changed && len(slugs) == 0 {
		return Changes{}, ErrUnchanged
	}
	for _, part := range []struct {
		table   string
		columns []string
		rows    []int64
	}{{"tenants", c.tenants, rows.tenants}, {"tenant_hosts", c.hosts, rows.hosts}} {
		if slugs, err = slugsOfRows(run, part.table, part.columns, part.rows, slugs); err != nil {
			return Changes{}, err
		}
	}
	changes := Changes{Hosts: -1}
	if changes.Tenants, err = sqliteCount(run, "SELECT count(*) FROM tenants"); err != nil {
		return Changes{}, err
	}
	if len(c.hosts) > 0 {
		hosts, err := sqliteHosts(run, c)
		if err != nil {
			return Changes{}, err
		}
		changes.Hosts = hosts - p.orphans
	}
	query, err := sqliteDefaultQuery(c, "IN (SELECT value FROM json_each(?1))")
	if err != nil {
		return Changes{}, err
	}
	list, err := json.Marshal(slugs)
	if err != nil {
		return Changes{}, err
	}
	if changes.Records, _, err = readRecords(run, query, string(list)); err == nil && !allMet(slugs, changes.Records) {
		err = ErrFull
	}
	return changes, err
}

func sqliteCount(run runner, query string) (int, error) {
	values, err := readRow(run, query)
	if err != nil {
		return 0, err
	}
	n, _ := values[0].(int64)
	return int(n), nil
}

// sqliteHosts counts the hosts that count.
func sqliteHosts(run runner, c catalog) (int, error) {
	if len(c.hosts) == 0 {
		return 0, nil
	}
	query := "SELECT count(*) FROM tenant_hosts"
	if c.verified != "" {
		query += " WHERE " + c.verified
	}
	return sqliteCount(run, query)
}

// slugsOfRows adds the slugs that the rows of those numbers have.
func slugsOfRows(run runner, table string, columns []string, rows []int64, slugs []string) ([]string, error) {
	if len(rows) == 0 {
		return slugs, nil
	}
	number := rowNumber(columns)
	if number == "" {
		return nil, ErrFull
	}
	list, err := json.Marshal(rows)
	if err != nil {
		return nil, err
	}
	return slugs, run("SELECT slug FROM "+table+" WHERE "+number+" IN (SELECT value FROM json_each(?))", []any{string(list)},
		noHead, func(v []any) error {
			if slug, ok := v[0].(string); ok {
				slugs = append(slugs, slug)
				return nil
			}
			return ErrFull // a wrong row, which all rows together settle
		})
}

// rowNumber returns the name for a row's number that no column of the table takes
// away, empty if there is none.
func rowNumber(columns []string) string {
	for _, name := range []string{"rowid", "_rowid_", "oid"} {
		if !slices.ContainsFunc(columns, func(column string) bool { return strings.EqualFold(column, name) }) {
			return name
		}
	}
	return ""
}
