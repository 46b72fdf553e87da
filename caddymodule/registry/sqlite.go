package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// NewSQLite returns a source that reads tenants from a SQLite file, which it
// never creates nor writes to. The file may come later, be replaced by another
// one, and be written to by other processes in any journal mode meanwhile.
//
// The query yields one row per tenant with columns by these names, of which only
// slug is required: id, slug, name, plan, status, limits, hosts (separated by
// commas, or a JSON array) and created_at. An empty query reads the tables
// tenants and, if it exists, tenant_hosts.
//
// Whether anything has been committed since the last look costs one pragma on a
// connection that is kept open.
func NewSQLite(path, query string) (Source, error) {
	if path == "" {
		return nil, errors.New(`reading sqlite source: expected the path of a database file, found ""`)
	}
	if path == ":memory:" {
		return nil, fmt.Errorf("reading sqlite source %q: expected the path of a database file: nobody else can write to one in memory", path)
	}
	return &sqlite{path: path, query: strings.TrimSpace(query)}, nil
}

type sqlite struct {
	path, query string

	db   *sql.DB
	conn *sql.Conn
	file os.FileInfo // as it was before conn was opened

	seen *sqliteStamp // of the last successful load, nil before
}

// sqliteStamp is the same as long as nobody has changed the database. The pragma
// tells of commits; size and time tell of those who overwrite the file itself.
type sqliteStamp struct {
	version  int64
	size     int64
	modified time.Time
}

func (s *sqlite) String() string { return "sqlite " + s.path }

func (s *sqlite) Close() error {
	var err error
	if s.db != nil {
		err = errors.Join(s.conn.Close(), s.db.Close())
		s.db, s.conn = nil, nil
	}
	return err
}

func (s *sqlite) Load(ctx context.Context) ([]Record, error) {
	records, err := s.load(ctx)
	if err != nil && !errors.Is(err, ErrUnchanged) {
		_ = s.Close() // whatever is wrong with the connection goes with it
		return nil, fmt.Errorf("reading tenants from sqlite %q: %w", s.path, err)
	}
	return records, err
}

func (s *sqlite) load(ctx context.Context) ([]Record, error) {
	file, err := os.Stat(s.path)
	if err != nil {
		return nil, errors.Unwrap(err) // the path is named already
	}
	if !file.Mode().IsRegular() {
		return nil, errors.New("expected a regular file")
	}
	if s.conn != nil && !os.SameFile(file, s.file) {
		_ = s.Close()
	}
	fresh := s.conn == nil
	stamp, err := s.stamp(ctx, file)
	if err != nil {
		return nil, err
	}
	if s.seen != nil && !fresh {
		if stamp == *s.seen {
			return nil, ErrUnchanged
		}
		if stamp.version == s.seen.version {
			// No commit and yet another file: its cached pages may be another
			// database's.
			_ = s.Close()
			if stamp, err = s.stamp(ctx, file); err != nil {
				return nil, err
			}
		}
	}
	records, err := s.read(ctx)
	if err == nil {
		s.seen = &stamp
	}
	return records, err
}

// stamp opens the connection if there is none. It is taken before the records
// are read, so that a commit in between is met again at the next look.
func (s *sqlite) stamp(ctx context.Context, file os.FileInfo) (sqliteStamp, error) {
	if s.conn == nil {
		if err := s.open(ctx, file); err != nil {
			return sqliteStamp{}, err
		}
	}
	stamp := sqliteStamp{size: file.Size(), modified: file.ModTime()}
	err := s.conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&stamp.version)
	return stamp, err
}

func (s *sqlite) open(ctx context.Context, file os.FileInfo) error {
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

func (s *sqlite) read(ctx context.Context) ([]Record, error) {
	tx, err := s.conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }()
	query := s.query
	if query == "" {
		if query, err = sqliteDefaultQuery(ctx, tx); err != nil {
			return nil, err
		}
	}
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	if err := checkColumns(names); err != nil {
		return nil, err
	}
	values, into := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	var records []Record
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		r := Record{Row: len(records) + 1}
		for i, name := range names {
			r.set(name, values[i])
		}
		records = append(records, r)
	}
	return records, rows.Err()
}

func sqliteDefaultQuery(ctx context.Context, tx *sql.Tx) (string, error) {
	var c catalog
	for table, columns := range map[string]*[]string{"tenants": &c.tenants, "tenant_hosts": &c.hosts} {
		rows, err := tx.QueryContext(ctx, "SELECT name FROM pragma_table_info(?)", table)
		if err != nil {
			return "", err
		}
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return "", errors.Join(err, rows.Close())
			}
			*columns = append(*columns, name)
		}
		if err := rows.Err(); err != nil {
			return "", err
		}
	}
	return c.defaultQuery("group_concat(host)", func(column string) string { return column + " IN (1, '1', 'true')" })
}

var _ Source = (*sqlite)(nil)
