package registry

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// NewSQLiteCredentials returns a source that reads the tables api_keys and
// revocations of a SQLite file, as [NewSQLite] reads its tenants: the file is
// never written to, and a look at unchanged ones costs one pragma. A table that
// does not exist is an empty one.
func NewSQLiteCredentials(path string) (CredentialSource, error) {
	if err := checkSQLitePath(path); err != nil {
		return nil, err
	}
	return &sqliteCredentials{sqliteConn: sqliteConn{path: path}}, nil
}

type sqliteCredentials struct {
	sqliteConn

	seen *sqliteStamp // of the last successful look, nil before
}

// Load implements [CredentialSource].
func (s *sqliteCredentials) Load(ctx context.Context, check func(*Key) error) (*Credentials, error) {
	made, err := s.loadCredentials(ctx, check)
	if err != nil && !errors.Is(err, ErrUnchanged) {
		_ = s.close() // whatever is wrong with the connection goes with it
		return nil, fmt.Errorf("reading credentials from sqlite %q: %w", s.path, err)
	}
	return made, err
}

func (s *sqliteCredentials) loadCredentials(ctx context.Context, check func(*Key) error) (*Credentials, error) {
	stamp, fresh, err := s.peek(ctx, s.seen)
	if err != nil {
		return nil, err
	}
	if !fresh && s.seen != nil && stamp == *s.seen {
		return nil, ErrUnchanged
	}
	var made *Credentials
	err = s.view(ctx, func(run runner) error {
		columns := map[string][]string{}
		for _, table := range credentialTables {
			names, err := sqliteColumns(run, table.name)
			if err != nil {
				return err
			}
			columns[table.name] = names
		}
		made, err = readCredentials(run, check, func(table string) []string { return columns[table] })
		return err
	})
	if err != nil {
		return nil, err
	}
	s.seen = &stamp
	return made, nil
}

func (s *sqliteCredentials) String() string { return "sqlite " + s.path }

// Close implements [CredentialSource].
func (s *sqliteCredentials) Close() error { return s.close() }

// Interval implements [CredentialSource].
func (s *sqliteCredentials) Interval() time.Duration { return sqliteInterval }

var _ CredentialSource = (*sqliteCredentials)(nil)
