package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"
)

// NewSQLiteCredentials returns a source that reads the tables api_keys and
// revocations of a SQLite file, as [NewSQLite] reads its tenants: the file is
// never written to, and a look at unchanged ones costs one pragma. A table that
// does not exist is an empty one.
func NewSQLiteCredentials(path string) (CredentialSource, error) {
	s, err := NewSQLite(path, "")
	if err != nil {
		return nil, err
	}
	return &sqliteCredentials{s.(*sqlite)}, nil
}

// sqliteCredentials uses the connection of a tenants' source, and its own one:
// what one has seen of changes says nothing about the other.
type sqliteCredentials struct{ *sqlite }

// Load implements [CredentialSource].
func (s *sqliteCredentials) Load(ctx context.Context, check func(*Key) error) (*Credentials, error) {
	made, err := s.loadCredentials(ctx, check)
	if err != nil && !errors.Is(err, ErrUnchanged) {
		_ = s.Close() // whatever is wrong with the connection goes with it
		return nil, fmt.Errorf("reading credentials from sqlite %q: %w", s.path, err)
	}
	return made, err
}

func (s *sqliteCredentials) loadCredentials(ctx context.Context, check func(*Key) error) (*Credentials, error) {
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
	kept := s.conn != nil
	stamp, err := s.stamp(ctx, file)
	if err != nil {
		return nil, err
	}
	if kept && s.seen != nil {
		if stamp == *s.seen {
			return nil, ErrUnchanged
		}
		if stamp.version == s.seen.version {
			// No commit and yet another file: cached pages may be another database's.
			_ = s.Close()
			if stamp, err = s.stamp(ctx, file); err != nil {
				return nil, err
			}
		}
	}
	tx, err := s.conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }()
	run := sqliteRunner(ctx, tx)
	columns := map[string][]string{}
	for _, table := range credentialTables {
		err := run("SELECT name FROM pragma_table_info(?)", []any{table.name}, func([]string) error { return nil }, func(v []any) error {
			name, _ := v[0].(string)
			columns[table.name] = append(columns[table.name], name)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	made, err := readCredentials(run, check, func(table string) []string { return columns[table] })
	if err == nil {
		s.seen = &stamp
	}
	return made, err
}

// Interval implements [CredentialSource].
func (s *sqliteCredentials) Interval() time.Duration { return s.sqlite.Interval() }

var _ CredentialSource = (*sqliteCredentials)(nil)
