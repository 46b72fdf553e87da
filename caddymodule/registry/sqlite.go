package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
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
// connection that is kept open. After a commit, of the tables only those rows are
// read that were written. Of a query all rows are read, and only those that are new
// or different are looked at any further; with a column version, only they are
// read.
func NewSQLite(path, query string) (Source, error) {
	if err := checkSQLitePath(path); err != nil {
		return nil, err
	}
	return &sqlite{sqliteConn: sqliteConn{path: path}, query: strings.TrimSpace(query), pace: newPace()}, nil
}

func checkSQLitePath(path string) error {
	if path == "" {
		return errors.New(`reading sqlite source: expected the path of a database file, found ""`)
	}
	if path == ":memory:" {
		return fmt.Errorf("reading sqlite source %q: expected the path of a database file: nobody else can write to one in memory", path)
	}
	return nil
}

type sqlite struct {
	sqliteConn

	query string

	seen *sqliteStamp // of the last successful look, nil before and after a failure
	// whole says that the last successful look was a full one, and complete that it
	// met all there was, not only what has a revision.
	whole, complete bool

	// Where the changes after it begin: in a query with a version column, in the
	// tables of the default one, and in all the other rows.
	cursor cursor
	tables sqliteTables
	rows   []seenRecord
	pace   pace
	// revision tells of some changes while the pace is a rest, and touched are the
	// slugs that it told of.
	revision revisions
	touched  []string
}

func (s *sqlite) String() string   { return "sqlite " + s.path }
func (s *sqlite) identity() string { return s.String() + "\n" + s.query }
func (s *sqlite) Close() error     { return s.close() }

// sqliteInterval is short, because a look costs less than a request.
const sqliteInterval = 200 * time.Millisecond

// Interval implements [Paced].
func (s *sqlite) Interval() time.Duration { return sqliteInterval }

func (s *sqlite) Load(ctx context.Context) ([]Record, error) {
	changes, err := s.look(ctx, true)
	return changes.Records, err
}

// LoadChanges implements [Incremental].
func (s *sqlite) LoadChanges(ctx context.Context) (Changes, error) { return s.look(ctx, false) }

func (s *sqlite) look(ctx context.Context, whole bool) (Changes, error) {
	changes, err := s.load(ctx, whole)
	if err != nil && !errors.Is(err, ErrUnchanged) && !errors.Is(err, ErrFull) {
		_ = s.close() // whatever is wrong with the connection goes with it
		s.seen = nil
		return Changes{}, fmt.Errorf("reading tenants from sqlite %q: %w", s.path, err)
	}
	return changes, err
}

// errKnown is [ErrUnchanged] from a look that met all there was.
var errKnown = fmt.Errorf("all rows are known: %w", ErrUnchanged)

func (s *sqlite) load(ctx context.Context, whole bool) (changes Changes, err error) {
	stamp, fresh, err := s.peek(ctx, s.seen)
	if err != nil {
		return changes, err
	}
	complete := s.whole
	if !whole {
		complete = s.complete || s.pace.resting()
	}
	switch {
	case !whole && (s.seen == nil || fresh && s.cursor.on):
		return changes, ErrFull
	case s.seen != nil && !fresh && stamp == *s.seen && complete:
		return changes, ErrUnchanged
	}
	read := s.followRows
	switch {
	case whole:
		read = s.readAll
	case s.cursor.on:
		read = s.followCursor
	case !fresh && s.pace.resting():
		read = s.followRevisions
	case s.tables.known:
		read = s.followTables
	}
	err = s.view(ctx, func(run runner) (err error) {
		changes, err = read(run)
		return err
	})
	switch {
	case err == nil:
		s.seen, s.whole = &stamp, whole
	case errors.Is(err, errKnown):
		s.seen = &stamp
	}
	return changes, err
}

var (
	_ Incremental = (*sqlite)(nil)
	_ Paced       = (*sqlite)(nil)
)
