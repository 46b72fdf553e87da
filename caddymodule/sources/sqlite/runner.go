package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sqlrows"
)

// view calls f in one transaction.
func (c *conn) view(ctx context.Context, f func(run sqlrows.Runner) error) error {
	tx, err := c.conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	return f(func(query string, head func([]string) error, row func([]any) error) (err error) {
		rows, err := tx.QueryContext(ctx, query)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		names, err := rows.Columns()
		if err == nil {
			err = head(names)
		}
		if err != nil {
			return err
		}
		values, pointers := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			pointers[i] = &values[i]
		}
		for rows.Next() {
			if err := rows.Scan(pointers...); err != nil {
				return err
			}
			if err := row(values); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// dialect is SQLite's.
var dialect = sqlrows.Dialect{
	Columns: "SELECT name FROM pragma_table_info('%s')",
	Hosts:   "group_concat(host)",
	// Any text is greater than 0, so texts count only if they are known.
	Verified: "(typeof(verified) = 'integer' AND verified > 0 OR verified IN ('1', 'true'))",
	Server:   "''", // the file itself tells
}
