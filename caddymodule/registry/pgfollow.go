package registry

import (
	"errors"
	"time"
)

// unchanged reports whether all that is visible is known already, and what is.
//
// Unlike a log position or a time of change, the list of running transactions
// cannot miss a commit that was under way when it was looked at.
func (s *postgres) unchanged(run runner, whole bool) (known bool, visible string, err error) {
	values, err := readRow(run, "SELECT pg_current_snapshot()::text, pg_postmaster_start_time()::text")
	if err != nil {
		return false, "", err
	}
	visible, _ = values[0].(string)
	if server, _ := values[1].(string); server != s.server {
		// Another server, perhaps behind a pooler: one that took over may have lost
		// transactions that were seen, and give their numbers away again.
		s.forget()
		s.server = server
	}
	return visible == s.seen && (s.whole || !whole), visible, nil
}

// read reads everything, or what has changed, in one transaction. Notified says
// that somebody has told of a change.
func (s *postgres) read(run runner, whole, notified bool) (Changes, error) {
	known, visible, err := s.unchanged(run, whole)
	switch {
	case err != nil:
		return Changes{}, err
	case known:
		return Changes{}, ErrUnchanged
	case whole:
		return s.readAll(run, visible)
	case s.seen == "":
		return Changes{}, ErrFull
	case s.cursor.on:
		changes, err := s.cursor.changes(run, s.query, "$1")
		if err == nil {
			s.seen, s.whole = visible, false
		}
		return changes, err
	}
	if s.pace.resting() {
		// The catalog's own changes are not kept waiting. Who notifies has made one, or
		// knows nothing of revisions.
		changes, err := s.followRevisions(run, visible)
		if !errors.Is(err, ErrUnchanged) || !notified {
			return changes, err
		}
	}
	if s.query != "" {
		return Changes{}, ErrFull
	}
	return s.followTables(run, visible)
}

func (s *postgres) readAll(run runner, visible string) (Changes, error) {
	begin := time.Now()
	var (
		records []Record
		err     error
	)
	if s.query == "" {
		if records, err = s.tables.readAll(run); err == nil {
			err = s.noteRevision(run)
		}
	} else {
		var versioned bool
		if records, versioned, err = readRecords(run, s.query); err == nil {
			err = s.cursor.reset(run, s.query, versioned)
		}
	}
	if err != nil {
		return Changes{}, err
	}
	if s.seen != "" { // nobody waits for the first change after a start
		s.pace.rest(begin, true)
	}
	s.seen, s.looked, s.whole = visible, visible, true
	return Changes{Records: records}, nil
}

// followRevisions reads the rows of a later revision, and leaves it to the end of
// the rest to find those that were written without one.
func (s *postgres) followRevisions(run runner, visible string) (Changes, error) {
	if !s.revision.on || visible == s.looked {
		return Changes{}, ErrUnchanged
	}
	changes, err := s.revision.changes(run, func(changed string) (string, error) {
		return postgresDefaultQuery(s.tables.catalog, changed)
	})
	if err == nil || errors.Is(err, ErrUnchanged) {
		s.looked = visible
	}
	if err == nil {
		s.whole = false
	}
	return changes, err
}

// followTables reads the rows that were written since the last such look.
func (s *postgres) followTables(run runner, visible string) (Changes, error) {
	begin := time.Now()
	changes, err := s.tables.changes(run, s.seen)
	unchanged := errors.Is(err, ErrUnchanged)
	if err == nil {
		err = s.noteRevision(run)
	}
	if err != nil && !unchanged {
		return Changes{}, err
	}
	s.seen, s.looked = visible, visible
	s.whole = s.whole && unchanged
	// Where there are revisions, they tell of the next change.
	s.pace.rest(begin, !unchanged && !s.revision.on)
	return changes, err
}

func (s *postgres) noteRevision(run runner) error {
	return s.revision.reset(run, func(table string) ([]string, error) { return postgresColumns(run, table) })
}
