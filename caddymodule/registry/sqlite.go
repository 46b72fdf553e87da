package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
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

	seen *sqliteStamp // of the last successful look, nil before
	// whole says that the last successful look was a full one, and cursor where the
	// changes after it begin.
	whole    bool
	cursor   cursor
	revision revisions
}

// sqliteStamp is the same as long as nobody has changed the database. The pragma
// tells of commits; size and time tell of those who overwrite the file itself.
type sqliteStamp struct {
	version  int64
	size     int64
	modified time.Time
}

func (s *sqlite) String() string   { return "sqlite " + s.path }
func (s *sqlite) identity() string { return s.String() + "\n" + s.query }

func (s *sqlite) Close() error {
	var err error
	if s.db != nil {
		err = errors.Join(s.conn.Close(), s.db.Close())
		s.db, s.conn = nil, nil
	}
	return err
}

// Interval is short, because a look costs less than a request.
func (s *sqlite) Interval() time.Duration { return 200 * time.Millisecond }

func (s *sqlite) Load(ctx context.Context) ([]Record, error) {
	changes, err := s.look(ctx, true)
	return changes.Records, err
}

// LoadChanges implements [Incremental] for queries with a version column.
func (s *sqlite) LoadChanges(ctx context.Context) (Changes, error) { return s.look(ctx, false) }

func (s *sqlite) look(ctx context.Context, whole bool) (Changes, error) {
	changes, err := s.load(ctx, whole)
	if err != nil && !errors.Is(err, ErrUnchanged) && !errors.Is(err, ErrFull) {
		_ = s.Close() // whatever is wrong with the connection goes with it
		return Changes{}, fmt.Errorf("reading tenants from sqlite %q: %w", s.path, err)
	}
	return changes, err
}

func (s *sqlite) load(ctx context.Context, whole bool) (Changes, error) {
	file, err := os.Stat(s.path)
	if err != nil {
		return Changes{}, errors.Unwrap(err) // the path is named already
	}
	if !file.Mode().IsRegular() {
		return Changes{}, errors.New("expected a regular file")
	}
	if s.conn != nil && !os.SameFile(file, s.file) {
		_ = s.Close()
	}
	fresh := s.conn == nil
	stamp, err := s.stamp(ctx, file)
	if err != nil {
		return Changes{}, err
	}
	if s.seen != nil && !fresh {
		if stamp == *s.seen && (s.whole || !whole && (s.cursor.on || s.revision.resting())) {
			return Changes{}, ErrUnchanged
		}
		if stamp.version == s.seen.version && stamp != *s.seen {
			// No commit and yet another file: its cached pages may be another
			// database's.
			_ = s.Close()
			fresh = true
			if stamp, err = s.stamp(ctx, file); err != nil {
				return Changes{}, err
			}
		}
	}
	if !whole && (fresh || !s.cursor.on && !s.revision.resting()) {
		return Changes{}, ErrFull
	}
	changes, err := s.read(ctx, whole)
	if err == nil {
		s.seen, s.whole = &stamp, whole
	}
	return changes, err
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

func (s *sqlite) read(ctx context.Context, whole bool) (Changes, error) {
	tx, err := s.conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return Changes{}, err
	}
	defer func() { _ = tx.Rollback() }()
	run := sqliteRunner(ctx, tx)
	switch {
	case !whole && s.cursor.on:
		return s.cursor.changes(run, s.query, "?")
	case !whole:
		return s.revision.changes(run)
	}
	begin := time.Now()
	query := s.query
	if query == "" {
		if query, err = sqliteDefaultQuery(run); err != nil {
			return Changes{}, err
		}
	}
	records, versioned, err := readRecords(run, query)
	if err != nil {
		return Changes{}, err
	}
	if s.query == "" {
		err = s.revision.reset(run, time.Since(begin))
	} else {
		err = s.cursor.reset(run, query, versioned)
	}
	return Changes{Records: records}, err
}

func sqliteRunner(ctx context.Context, tx *sql.Tx) runner {
	return func(query string, args []any, head func([]string) error, row func([]any) error) error {
		rows, err := tx.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		names, err := rows.Columns()
		if err != nil {
			return err
		}
		if err := head(names); err != nil {
			return err
		}
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		for rows.Next() {
			if err := rows.Scan(into...); err != nil {
				return err
			}
			if err := row(values); err != nil {
				return err
			}
		}
		return rows.Err()
	}
}

func sqliteDefaultQuery(run runner) (string, error) {
	c, err := sqliteCatalog(run)
	if err != nil {
		return "", err
	}
	return c.defaultQuery("group_concat(host)", "")
}

func sqliteCatalog(run runner) (c catalog, err error) {
	for table, columns := range map[string]*[]string{"tenants": &c.tenants, "tenant_hosts": &c.hosts} {
		if *columns, err = sqliteColumns(run, table); err != nil {
			return c, err
		}
	}
	if slices.Contains(c.hosts, "verified") {
		// The time of the verification is a yes as well, but no text that is not known:
		// any text is greater than 0.
		c.verified = "(typeof(verified) = 'integer' AND verified > 0 OR verified IN ('1', 'true'))"
	}
	return c, nil
}

func sqliteColumns(run runner, table string) (columns []string, err error) {
	err = run("SELECT name FROM pragma_table_info(?)", []any{table}, func([]string) error { return nil }, func(v []any) error {
		name, _ := v[0].(string)
		columns = append(columns, name)
		return nil
	})
	return columns, err
}

var (
	_ Incremental = (*sqlite)(nil)
	_ Paced       = (*sqlite)(nil)
)
