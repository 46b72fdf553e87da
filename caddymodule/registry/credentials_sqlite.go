package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// NewSQLiteCredentials returns a source that reads the tables api_keys and
// revocations of a SQLite file, as [NewSQLite] reads its tenants: the file is
// never written to, and a look costs one pragma as long as nobody has. After a
// commit the tables are read if it was to them. A table that does not exist is an
// empty one.
func NewSQLiteCredentials(path string) (CredentialSource, error) {
	if err := checkSQLitePath(path); err != nil {
		return nil, err
	}
	return &sqliteCredentials{sqliteConn: sqliteConn{path: path}, pace: pace{found: 1, nothing: 4}}, nil
}

type sqliteCredentials struct {
	sqliteConn

	seen *sqliteStamp // of the last successful look, nil before and after a failure
	// state is that of the tables at the last load, nil if it says nothing. Another
	// file in which they are the same has the same credentials.
	state *[sha256.Size]byte
	// pace leaves time for everything else where there are so many keys that a look
	// takes long. A revocation among 100,000 is in force within a second all the same.
	pace pace
}

// Load implements [CredentialSource].
func (s *sqliteCredentials) Load(ctx context.Context, check func(*Key) error) (*Credentials, error) {
	made, err := s.loadCredentials(ctx, check)
	if err != nil && !errors.Is(err, ErrUnchanged) {
		_ = s.close() // whatever is wrong with the connection goes with it
		s.seen = nil
		return nil, fmt.Errorf("reading credentials from sqlite %q: %w", s.path, err)
	}
	return made, err
}

func (s *sqliteCredentials) loadCredentials(ctx context.Context, check func(*Key) error) (*Credentials, error) {
	stamp, fresh, err := s.peek(ctx, s.seen)
	if err != nil {
		return nil, err
	}
	if !fresh && s.seen != nil && (stamp == *s.seen || s.pace.resting()) {
		return nil, ErrUnchanged
	}
	begin := time.Now()
	var made *Credentials
	err = s.view(ctx, func(run runner) (err error) {
		made, err = s.read(run, check)
		return err
	})
	if err == nil || errors.Is(err, ErrUnchanged) {
		s.seen = &stamp
		s.pace.rest(begin, err == nil)
	}
	return made, err
}

// read reads both tables, if they are not what they were.
func (s *sqliteCredentials) read(run runner, check func(*Key) error) (*Credentials, error) {
	columns := map[string][]string{}
	var names []string
	for _, table := range credentialTables {
		has, err := sqliteColumns(run, table.name)
		if err != nil {
			return nil, err
		}
		columns[table.name] = has
		names = append(names, table.name)
	}
	state, err := sqliteState(run, names)
	known := err == nil // whatever is wrong with the pages, the rows may be read
	if known && s.state != nil && state == *s.state {
		return nil, ErrUnchanged
	}
	made, err := readCredentials(run, check, func(table string) []string { return columns[table] })
	if err != nil {
		return nil, err
	}
	if s.state = nil; known {
		s.state = &state
	}
	return made, nil
}

func (s *sqliteCredentials) String() string { return "sqlite " + s.path }

// Close implements [CredentialSource].
func (s *sqliteCredentials) Close() error { return s.close() }

// Interval implements [CredentialSource].
func (s *sqliteCredentials) Interval() time.Duration { return sqliteInterval }

var _ CredentialSource = (*sqliteCredentials)(nil)
