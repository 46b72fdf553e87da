package registry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// versionColumn is a column that a query may have beside a record's fields. It
// grows with every change of a record, in the order of the commits.
const versionColumn = "version"

// checkColumns refuses a query whose result is not made of record fields: a
// column that nobody reads is more likely a mistake than a wish.
func checkColumns(names []string) error {
	for i, name := range names {
		if !IsField(name) && name != versionColumn {
			return UnknownField("column", name)
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("column %q appears twice: expected each of %s at most once", name, strings.Join(fieldNames, ", "))
		}
	}
	if !slices.Contains(names, "slug") {
		return fmt.Errorf("column %q is missing: expected it and some of %s", "slug", strings.Join(fieldNames, ", "))
	}
	return nil
}

// runner runs a query within the transaction of one look. It calls head once with
// the columns, then row with each row's values, which are not kept.
type runner func(query string, args []any, head func(names []string) error, row func(values []any) error) error

// noHead is for queries whose columns are known.
func noHead([]string) error { return nil }

// readRecords also reports whether there is a version column.
func readRecords(run runner, query string, args ...any) (records []Record, versioned bool, err error) {
	return scanRecords(run, nil, query, args...)
}

// scanRecords leaves out the records whose rows are known, unless there is a
// version column.
func scanRecords(run runner, c *comparison, query string, args ...any) (records []Record, versioned bool, err error) {
	var (
		columns []string
		buffer  []byte
		s       sum
		rows    int
	)
	head := func(names []string) error {
		columns = names
		versioned = slices.Contains(names, versionColumn)
		return checkColumns(names)
	}
	row := func(values []any) error {
		rows++
		compared := c != nil && !versioned
		if compared {
			buffer = appendRow(buffer[:0], values)
			if s = sumOf(buffer); c.known(s) {
				return nil
			}
		}
		r := Record{Row: rows}
		for i, name := range columns {
			if name != versionColumn {
				r.Set(name, values[i])
			}
		}
		if compared {
			c.add(s, r.Slug)
		}
		records = append(records, r)
		return nil
	}
	err = run(query, args, head, row)
	if err != nil {
		records = nil
	}
	return records, versioned, err
}

// appendRow appends a text that two rows have in common only if no record can be
// told from the other.
func appendRow(b []byte, values []any) []byte {
	for _, value := range values {
		switch v := value.(type) {
		case nil:
			b = append(b, 'n')
		case string:
			b = binary.AppendUvarint(append(b, 's'), uint64(len(v)))
			b = append(b, v...)
		case int64:
			b = binary.AppendVarint(append(b, 'i'), v)
		case float64:
			b = binary.LittleEndian.AppendUint64(append(b, 'f'), math.Float64bits(v))
		case []byte:
			b = append(b, 'b') // no field may be one
		case time.Time:
			b = binary.AppendVarint(append(b, 't'), v.Unix())
			b = binary.AppendVarint(b, int64(v.Nanosecond()))
		default:
			b = fmt.Appendf(b, "%T %q", v, fmt.Sprint(v))
		}
	}
	return b
}

// readRow reads the one row of a query.
func readRow(run runner, query string, args ...any) (values []any, err error) {
	err = run(query, args, noHead, func(v []any) error {
		values = slices.Clone(v)
		return nil
	})
	if err == nil && values == nil {
		err = errors.New("expected one row, found none")
	}
	return values, err
}

// cursor follows a query's version column.
type cursor struct {
	on  bool
	max any // the highest version that was read
}

// wrap makes a table of a query so that it can be asked for a part of its rows.
func wrap(query string) string {
	return "(" + strings.TrimRight(query, "; \t\r\n") + "\n) AS q"
}

// reset notes the highest version after a full read in the same transaction.
func (c *cursor) reset(run runner, query string, versioned bool) error {
	c.on = false
	if !versioned {
		return nil
	}
	values, err := readRow(run, "SELECT max(version) FROM "+wrap(query))
	if err == nil {
		c.on, c.max = true, values[0]
	}
	return err
}

// changes reads the rows with a higher version. One that is deleted shows in the
// count.
func (c *cursor) changes(run runner, query, parameter string) (Changes, error) {
	values, err := readRow(run, "SELECT count(*), max(version) FROM "+wrap(query))
	if err != nil {
		return Changes{}, err
	}
	count, ok := values[0].(int64)
	if !ok || values[1] == nil || c.max == nil {
		return Changes{}, ErrFull
	}
	changes := Changes{Tenants: int(count), Hosts: -1}
	if changes.Records, _, err = readRecords(run, "SELECT * FROM "+wrap(query)+" WHERE version > "+parameter, c.max); err != nil {
		return Changes{}, err
	}
	c.max = values[1]
	return changes, nil
}

// catalog is what the default query finds in the database.
type catalog struct {
	tenants []string // columns
	hosts   []string // columns of tenant_hosts, none if there is no such table
	// verified is the condition for a host that counts, empty if all do.
	verified string
}

// defaultQuery reads the tables tenants and tenant_hosts. It asks for the columns
// that exist, so that a catalog of an older or a smaller make is read as well;
// only slug, and host in tenant_hosts, must be there. Hosts count once they are
// verified, if that is recorded. Databases differ in join, the expression that
// makes one text of many hosts.
//
// If changed is not empty, it is what to say behind a slug for those that are asked
// for, as "IN (...)".
func (c catalog) defaultQuery(join, changed string) (string, error) {
	if len(c.tenants) == 0 {
		return "", errors.New(`expected a table "tenants", found none`)
	}
	if len(c.hosts) > 0 && (!slices.Contains(c.hosts, "host") || !slices.Contains(c.hosts, "slug")) {
		return "", fmt.Errorf("expected columns %q and %q in table %q, found %s", "host", "slug", "tenant_hosts", strings.Join(c.hosts, ", "))
	}
	var columns []string
	for _, name := range fieldNames {
		if slices.Contains(c.tenants, name) && (name != "hosts" || len(c.hosts) == 0) {
			columns = append(columns, "t."+name)
		}
	}
	query := "SELECT " + strings.Join(columns, ", ")
	from := " FROM tenants t"
	if len(c.hosts) > 0 {
		var where []string
		if c.verified != "" {
			where = append(where, c.verified)
		}
		if changed != "" {
			where = append(where, "slug "+changed)
		}
		hosts := "SELECT slug, " + join + " AS hosts FROM tenant_hosts"
		if len(where) > 0 {
			hosts += " WHERE " + strings.Join(where, " AND ")
		}
		query += ", h.hosts"
		from += " LEFT JOIN (" + hosts + " GROUP BY slug) h ON h.slug = t.slug"
	}
	if changed != "" {
		from += " WHERE t.slug " + changed
	}
	return query + from, nil
}

func countRecordHosts(records []Record) int {
	n := 0
	for i := range records {
		n += len(records[i].Hosts)
	}
	return n
}

// allMet reports whether there is a record for each of the slugs. A host that was
// written and is nobody's may have been somebody's before.
func allMet(slugs []string, records []Record) bool {
	met := make(map[string]struct{}, len(records))
	for i := range records {
		met[records[i].Slug] = struct{}{}
	}
	return !slices.ContainsFunc(slugs, func(slug string) bool { _, ok := met[slug]; return !ok })
}
