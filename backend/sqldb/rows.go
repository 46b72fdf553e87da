package sqldb

import (
	"context"
	"database/sql"
	"time"
)

// Conn is a connection inside a transaction.
type Conn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Scan reads the columns of one row, as [sql.Row.Scan] and [sql.Rows.Scan] do.
type Scan func(to ...any) error

// Each calls f with every row of a query, until f fails.
func Each(ctx context.Context, c Conn, f func(Scan) error, query string, args ...any) error {
	rows, err := c.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err reports what matters
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// All reads every row of a query.
func All[T any](ctx context.Context, c Conn, read func(Scan) (T, error), query string, args ...any) (list []T, err error) {
	err = Each(ctx, c, func(scan Scan) error {
		one, err := read(scan)
		list = append(list, one)
		return err
	}, query, args...)
	return list, err
}

// One is a row that is a single value.
func One[T any](scan Scan) (value T, err error) {
	err = scan(&value)
	return value, err
}

// Exec runs a statement of which only the failure matters.
func Exec(ctx context.Context, c Conn, statement string, args ...any) error {
	_, err := c.ExecContext(ctx, statement, args...)
	return err
}

// Affected runs a statement and returns the number of rows that it changed.
func Affected(ctx context.Context, c Conn, statement string, args ...any) (int64, error) {
	result, err := c.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Micros and Time turn times into whole microseconds since 1970 and back; 0 is
// the zero time.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Time is the opposite of [Micros].
func Time(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
