package registry

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net/url"
	"os"
	"time"

	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// sqliteConn is the connection to a file that somebody else writes to.
type sqliteConn struct {
	path string

	db   *sql.DB
	conn *sql.Conn   // nil if it is not open
	file os.FileInfo // as it was before conn was opened
}

// sqliteStamp is the same as long as nobody has changed the database. The pragma
// tells of commits; size and time tell of those who overwrite the file itself.
type sqliteStamp struct {
	version  int64
	size     int64
	modified time.Time
}

// peek opens the connection if there is none, or if seen tells that the one there
// is may show another database's pages, and says which. The stamp is taken before
// the records are read, so that a commit in between is met again at the next look.
func (s *sqliteConn) peek(ctx context.Context, seen *sqliteStamp) (stamp sqliteStamp, fresh bool, err error) {
	file, err := os.Stat(s.path)
	if err != nil {
		return stamp, false, errors.Unwrap(err) // the path is named already
	}
	if !file.Mode().IsRegular() {
		return stamp, false, errors.New("expected a regular file")
	}
	if s.conn != nil && !os.SameFile(file, s.file) {
		_ = s.close()
	}
	fresh = s.conn == nil
	if stamp, err = s.stamp(ctx, file); err != nil || fresh || seen == nil {
		return stamp, fresh, err
	}
	if stamp.version == seen.version && stamp != *seen {
		// No commit and yet another file.
		_ = s.close()
		fresh = true
		stamp, err = s.stamp(ctx, file)
	}
	return stamp, fresh, err
}

func (s *sqliteConn) stamp(ctx context.Context, file os.FileInfo) (sqliteStamp, error) {
	if s.conn == nil {
		if err := s.open(ctx, file); err != nil {
			return sqliteStamp{}, err
		}
	}
	stamp := sqliteStamp{size: file.Size(), modified: file.ModTime()}
	err := s.conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&stamp.version)
	return stamp, err
}

func (s *sqliteConn) open(ctx context.Context, file os.FileInfo) error {
	name := url.URL{Path: s.path}
	db, err := sql.Open("sqlite", "file:"+name.EscapedPath()+"?mode=ro&_pragma=busy_timeout(500)&_pragma=query_only(1)")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	s.db, s.conn, s.file = db, conn, file
	return nil
}

func (s *sqliteConn) close() error {
	if s.db == nil {
		return nil
	}
	err := errors.Join(s.conn.Close(), s.db.Close())
	s.db, s.conn = nil, nil
	return err
}

// view calls f with a runner in one transaction. It goes round [sql.Rows], whose
// conversions take as long as the reading.
func (s *sqliteConn) view(ctx context.Context, f func(run runner) error) error {
	return s.conn.Raw(func(raw any) error {
		conn, ok := raw.(interface {
			driver.ConnBeginTx
			driver.QueryerContext
		})
		if !ok {
			return errors.New("the driver cannot run queries")
		}
		tx, err := conn.BeginTx(ctx, driver.TxOptions{ReadOnly: true})
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		return f(sqliteRunner(ctx, conn))
	})
}

// rowsPerCheck is how many rows are read before the context is looked at again.
const rowsPerCheck = 256

func sqliteRunner(ctx context.Context, conn driver.QueryerContext) runner {
	return func(query string, args []any, head func([]string) error, row func([]any) error) (err error) {
		named := make([]driver.NamedValue, len(args))
		for i, arg := range args {
			named[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
		}
		rows, err := conn.QueryContext(ctx, query, named)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		names := rows.Columns()
		if err := head(names); err != nil {
			return err
		}
		values, kept := make([]driver.Value, len(names)), make([]any, len(names))
		for n := 1; ; n++ {
			if n%rowsPerCheck == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if err := rows.Next(values); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			for i, value := range values {
				kept[i] = value
			}
			if err := row(kept); err != nil {
				return err
			}
		}
	}
}
