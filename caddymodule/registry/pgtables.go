package registry

import (
	"fmt"
	"strconv"
	"strings"
)

// postgresTables reads the tables tenants and tenant_hosts, and later only what
// was written to them since. For that it needs neither a version column nor a
// trigger: every row carries the transaction that wrote it, and the last look's
// snapshot tells which transactions it could not see.
type postgresTables struct {
	// state is the same as long as the tables are the same, columns and storage;
	// empty before the first full load.
	state   string
	catalog catalog
	// counted are the tenants and hosts at the last look, and orphans the hosts whose
	// slug no tenant has.
	counted [2]int
	orphans int
}

// readAll reads everything.
func (p *postgresTables) readAll(run runner) ([]Record, error) {
	state, c, err := postgresCatalog(run)
	if err != nil {
		return nil, err
	}
	query, err := postgresDefaultQuery(c, "")
	if err != nil {
		return nil, err
	}
	records, _, err := readRecords(run, query)
	if err != nil {
		return nil, err
	}
	*p = postgresTables{state: state, catalog: c}
	if p.counted, _, err = p.lookThrough(run, "false"); err != nil {
		return nil, err
	}
	p.orphans = p.counted[1] - countRecordHosts(records)
	return records, nil
}

// changes reads what was written since the look that saw seen. It returns
// [ErrUnchanged] if that is nothing.
func (p *postgresTables) changes(run runner, seen string) (Changes, error) {
	state, c, err := postgresCatalog(run)
	if err != nil {
		return Changes{}, err
	}
	if state == "" || state != p.state {
		return Changes{}, ErrFull
	}
	written, err := writtenSince(seen)
	if err != nil {
		return Changes{}, err
	}
	counted, slugs, err := p.lookThrough(run, written)
	if err != nil {
		return Changes{}, err
	}
	if len(slugs) == 0 && counted == p.counted {
		return Changes{}, ErrUnchanged
	}
	p.counted = counted
	changes := Changes{Tenants: counted[0], Hosts: -1} // they may be in a column, which is read with its row
	if len(c.hosts) > 0 {
		changes.Hosts = counted[1] - p.orphans
	}
	if len(slugs) == 0 {
		return changes, nil
	}
	query, err := postgresDefaultQuery(c, "= ANY($1::text[])")
	if err != nil {
		return Changes{}, err
	}
	if changes.Records, _, err = readRecords(run, query, slugs); err == nil && !allMet(slugs, changes.Records) {
		err = ErrFull
	}
	return changes, err
}

// lookThrough counts the tenants and the hosts that count, and finds the slugs of
// those that were written.
func (p *postgresTables) lookThrough(run runner, written string) (counted [2]int, slugs []string, err error) {
	for i, table := range []struct {
		name, counted string
		columns       []string
	}{{"tenants", "", p.catalog.tenants}, {"tenant_hosts", p.catalog.verified, p.catalog.hosts}} {
		if len(table.columns) == 0 {
			continue
		}
		where := ""
		if table.counted != "" {
			where = " WHERE " + table.counted
		}
		// Two passes are quicker than one that does both for every row.
		values, err := readRow(run, "SELECT (SELECT count(*) FROM "+table.name+where+"), ARRAY(SELECT slug::text FROM "+table.name+" WHERE "+written+")")
		if err != nil {
			return counted, nil, err
		}
		count, _ := values[0].(int64)
		counted[i] = int(count)
		found, _ := values[1].([]any)
		for _, value := range found {
			if s, ok := value.(string); ok {
				slugs = append(slugs, s)
			}
		}
	}
	return counted, slugs, nil
}

// writtenSince is the condition for rows that a snapshot could not see, and some
// more. The snapshot begins with the oldest transaction that was running; all
// that came after it have a smaller age, also across a wraparound of the 32 bits
// that a row has for it.
func writtenSince(snapshot string) (string, error) {
	oldest, _, _ := strings.Cut(snapshot, ":")
	id, err := strconv.ParseUint(oldest, 10, 64)
	if err != nil {
		return "", fmt.Errorf("reading snapshot %q: %w", snapshot, err)
	}
	return fmt.Sprintf("age(xmin) <= age('%d'::xid)", uint32(id)), nil
}

// postgresCatalog looks at the tables. The state is empty if one of them is a
// view or the like, whose rows do not say who wrote them.
func postgresCatalog(run runner) (state string, c catalog, err error) {
	plain := true
	for _, table := range []struct {
		name    string
		columns *[]string
	}{{"tenants", &c.tenants}, {"tenant_hosts", &c.hosts}} {
		// The file's number changes when a table is truncated or rewritten, which
		// leaves rows that seem to be old.
		err := run(`SELECT a.attname::text, c.relkind::text, c.oid::text || ':' || coalesce(pg_relation_filenode(c.oid), 0)::text,
			a.atttypid::regtype::text
			FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
			WHERE c.oid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, []any{table.name}, noHead,
			func(v []any) error {
				name, _ := v[0].(string)
				*table.columns = append(*table.columns, name)
				plain = plain && v[1] == "r"
				state += fmt.Sprint(name, v[2], v[3], ";")
				if kind, _ := v[3].(string); table.name == "tenant_hosts" && name == "verified" {
					c.verified = postgresTruth(name, kind)
				}
				return nil
			})
		if err != nil {
			return "", c, err
		}
	}
	if !plain {
		state = ""
	}
	return state, c, nil
}

// postgresTruth is the condition for a column of that type. The time of the
// verification is a yes as well, if it is an integer.
func postgresTruth(column, kind string) string {
	switch kind {
	case "boolean":
		return column
	case "smallint", "integer", "bigint":
		return column + " > 0"
	}
	return column + "::text IN ('t', 'true', '1')"
}

func postgresDefaultQuery(c catalog, changed string) (string, error) {
	return c.defaultQuery("string_agg(host, ',')", changed)
}

// postgresColumns lists the columns of a table that may be read, none if there is
// no such table.
func postgresColumns(run runner, table string) (columns []string, err error) {
	err = run(`SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
		AND has_column_privilege(attrelid, attnum, 'SELECT')`, []any{table}, noHead, func(v []any) error {
		name, _ := v[0].(string)
		columns = append(columns, name)
		return nil
	})
	return columns, err
}
