package registry

import (
	"errors"
	"time"
)

// readAll reads everything, and notes where the changes after it begin.
func (s *sqlite) readAll(run runner) (Changes, error) {
	begin := time.Now()
	records, err := s.scan(run, &comparison{})
	if err != nil {
		return Changes{}, err
	}
	if s.seen != nil { // nobody waits for the first change after a start
		s.pace.rest(begin, true)
	}
	return Changes{Records: records}, nil
}

// followCursor reads the rows of a higher version.
func (s *sqlite) followCursor(run runner) (Changes, error) {
	return s.cursor.changes(run, s.query, "?")
}

// followRevisions reads the rows of a later revision, and leaves it to the end of
// the rest to find those that were written without one.
func (s *sqlite) followRevisions(run runner) (Changes, error) {
	if !s.revision.on {
		return Changes{}, ErrUnchanged // the rest tells
	}
	c, err := sqliteCatalog(run)
	if err != nil {
		return Changes{}, err
	}
	changes, err := s.revision.changes(run, func(changed string) (string, error) { return sqliteDefaultQuery(c, changed) })
	if err != nil {
		return Changes{}, err
	}
	if changes.Tenants, err = sqliteCount(run, "SELECT count(*) FROM tenants"); err != nil {
		return Changes{}, err
	}
	for i := range changes.Records {
		s.touched = append(s.touched, changes.Records[i].Slug)
	}
	s.complete = false
	return changes, nil
}

// followTables reads the rows that were written since the last such look.
func (s *sqlite) followTables(run runner) (Changes, error) {
	begin := time.Now()
	c, err := sqliteCatalog(run)
	if err != nil {
		return Changes{}, err
	}
	changes, err := s.tables.changes(run, c, s.touched)
	if err == nil {
		err = s.noteRevision(run)
	}
	unchanged := errors.Is(err, ErrUnchanged)
	if err != nil && !unchanged {
		return Changes{}, err
	}
	s.touched, s.complete = nil, true
	// Where there are revisions, they tell of the next change.
	s.pace.rest(begin, !unchanged && !s.revision.on)
	if unchanged {
		return Changes{}, errKnown
	}
	return changes, nil
}

// followRows reads all rows, and makes records of those that the last such look
// had not.
func (s *sqlite) followRows(run runner) (Changes, error) {
	begin := time.Now()
	s.forgetTouched()
	c := compareWith(s.rows)
	records, err := s.scan(run, c)
	if err != nil {
		return Changes{}, err
	}
	if s.cursor.on {
		return Changes{}, ErrFull // the query has come to have a version
	}
	s.pace.rest(begin, !c.nothing())
	if c.nothing() {
		return Changes{}, errKnown
	}
	return Changes{Records: records, Removed: c.removed(records), Tenants: len(s.rows), Hosts: -1}, nil
}

// forgetTouched has the rows read again of which the registry has got another state
// by their revision.
func (s *sqlite) forgetTouched() {
	touched := make(map[string]bool, len(s.touched))
	for _, slug := range s.touched {
		touched[slug] = true
	}
	for i := range s.rows {
		if touched[s.rows[i].slug] {
			s.rows[i].sum = sum{}
		}
	}
}

// scan reads all rows in one transaction, makes records of those that are not
// known, and notes where the changes after them begin.
func (s *sqlite) scan(run runner, seen *comparison) (records []Record, err error) {
	if s.query == "" {
		return s.scanTables(run, seen)
	}
	records, versioned, err := scanRecords(run, seen, s.query)
	if err != nil {
		return nil, err
	}
	s.rows, s.complete = seen.now, true
	return records, s.cursor.reset(run, s.query, versioned)
}

func (s *sqlite) scanTables(run runner, seen *comparison) ([]Record, error) {
	c, err := sqliteCatalog(run)
	if err != nil {
		return nil, err
	}
	query, err := sqliteDefaultQuery(c, "")
	if err != nil {
		return nil, err
	}
	if len(seen.old) == 0 {
		if s.tables.reset(run, c); s.tables.known {
			seen = nil // nobody will ask for the rows
		}
	}
	records, _, err := scanRecords(run, seen, query)
	if err != nil {
		return nil, err
	}
	s.rows, s.touched, s.complete = nil, nil, true
	if seen != nil {
		s.rows = seen.now
	} else if err := s.tables.count(run, c, records); err != nil {
		return nil, err
	}
	return records, s.noteRevision(run)
}

func (s *sqlite) noteRevision(run runner) error {
	return s.revision.reset(run, func(table string) ([]string, error) { return sqliteColumns(run, table) })
}
