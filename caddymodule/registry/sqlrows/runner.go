// Package sqlrows is what sources in an SQL database share, whatever the engine:
// which tables and columns there are, how a change is found, and how rows become
// tenants, API keys and revocations. It knows no driver.
package sqlrows

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

// Conn is a connection to a database, opened when it is needed.
type Conn interface {
	// Poll calls read within one transaction. It returns [registry.ErrUnchanged]
	// instead if it knows that nothing was written since the last Poll that succeeded,
	// unless all is true. Fresh says that it may not be the database of that Poll.
	//
	// After an error of read the connection is opened anew, unless it is ErrUnchanged:
	// that is a success.
	Poll(ctx context.Context, all bool, read func(run Runner, fresh bool) error) error
	// Interval is the time between two polls that suits the database.
	Interval() time.Duration
	// String names the database, without any secret.
	String() string
	// Close ends what is open. No method is called after it.
	Close() error
}

// Runner runs a query within the transaction of a poll. It calls head once with the
// names of the columns, then row with each row's values, of the types that
// [registry.Record.Set] takes. They are valid until row returns.
type Runner func(query string, head func(columns []string) error, row func(values []any) error) error

// rows runs a query whose columns are known.
func (run Runner) rows(query string, row func(values []any) error) error {
	return run(query, func([]string) error { return nil }, row)
}

// one reads the first row of a query.
func (run Runner) one(query string) (values []any, err error) {
	err = run.rows(query, func(v []any) error {
		if values == nil {
			values = slices.Clone(v)
		}
		return nil
	})
	if err == nil && values == nil {
		err = errors.New("expected one row, found none")
	}
	return values, err
}

// versionColumn is a column that a query may have beside a record's fields. It was
// once asked for changes, and is allowed so that old queries go on.
const versionColumn = "version"

// checkColumns refuses a query whose result is not made of record fields: a
// column that nobody reads is more likely a mistake than a wish.
func checkColumns(names []string) error {
	for i, name := range names {
		if !registry.IsField(name) && name != versionColumn {
			return registry.UnknownField("column", name)
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("column %q appears twice: expected each of %s at most once", name, strings.Join(registry.FieldNames(), ", "))
		}
	}
	if !slices.Contains(names, "slug") {
		return fmt.Errorf("column %q is missing: expected it and some of %s", "slug", strings.Join(registry.FieldNames(), ", "))
	}
	return nil
}

// records makes a record of each row. Micros says that times in integers are
// microseconds, as they are in the bundled catalog; elsewhere their size tells.
func (run Runner) records(query string, micros bool) (records []registry.Record, err error) {
	var columns []string
	head := func(names []string) error {
		columns = slices.Clone(names)
		return checkColumns(names)
	}
	err = run(query, head, func(values []any) error {
		r := registry.Record{Row: len(records) + 1}
		for i, name := range columns {
			value := values[i]
			if n, ok := value.(int64); ok && micros && name == "created_at" {
				value = time.UnixMicro(n)
			}
			if name != versionColumn {
				r.Set(name, value)
			}
		}
		records = append(records, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}
