package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// NewPostgresCredentials returns a source that reads the tables api_keys and
// revocations from Postgres 13 or later, both found by the search path. A table
// that does not exist is an empty one. The DSN is as in [NewPostgres], and so is
// the cost of a look: one short query while no transaction in the whole server
// has begun to write or ended, and otherwise two counts, unless one of the
// tables was written to.
func NewPostgresCredentials(dsn string) (CredentialSource, error) {
	s, err := NewPostgres(dsn, "")
	if err != nil {
		return nil, err
	}
	return &postgresCredentials{pg: s.(*postgres)}, nil
}

type postgresCredentials struct {
	pg *postgres // for its connection; its own looks are never used

	// seen and server are as in postgres. tables is what the two tables were at
	// the last look, nil if everything must be read.
	seen, server string
	tables       map[string]postgresTable
}

// postgresTable is a table as the last look found it.
type postgresTable struct {
	state   string // the same as long as columns and storage are
	plain   bool   // its rows say who wrote them
	columns []string
	rows    int64
}

func (s *postgresCredentials) String() string { return s.pg.String() }

// Interval implements [CredentialSource].
func (s *postgresCredentials) Interval() time.Duration { return 400 * time.Millisecond }

// Close implements [CredentialSource].
func (s *postgresCredentials) Close() error { return s.pg.disconnect() }

// Load implements [CredentialSource].
func (s *postgresCredentials) Load(ctx context.Context, check func(*Key) error) (*Credentials, error) {
	reused := s.pg.conn != nil
	made, err := s.load(ctx, check)
	if err == nil || errors.Is(err, ErrUnchanged) {
		return made, err
	}
	broken := s.pg.conn != nil && s.pg.conn.IsClosed()
	_ = s.pg.disconnect() //nolint:contextcheck // the look's context may be what has ended
	s.seen, s.server, s.tables = "", "", nil
	if reused && broken && ctx.Err() == nil {
		// The server may have been back for long; only the connection was not.
		return s.Load(ctx, check)
	}
	return nil, fmt.Errorf("reading credentials from %s: %w", s.pg, err)
}

func (s *postgresCredentials) load(ctx context.Context, check func(*Key) error) (*Credentials, error) {
	if s.pg.conn == nil {
		conn, err := s.pg.connect(ctx)
		if err != nil {
			return nil, err
		}
		s.pg.conn = conn
	}
	tx, err := s.pg.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	run := postgresRunner(ctx, tx)
	values, err := readRow(run, "SELECT pg_current_snapshot()::text, pg_postmaster_start_time()::text")
	if err != nil {
		return nil, err
	}
	visible, _ := values[0].(string)
	if server, _ := values[1].(string); server != s.server {
		s.seen, s.server, s.tables = "", server, nil // as in postgres.load
	}
	if visible == s.seen {
		return nil, ErrUnchanged
	}
	tables := map[string]postgresTable{}
	same := s.tables != nil
	for _, t := range credentialTables {
		table, written, err := s.table(run, t.name)
		if err != nil {
			return nil, err
		}
		tables[t.name] = table
		old := s.tables[t.name]
		same = same && table.plain && !written && table.state == old.state && table.rows == old.rows
	}
	if same {
		s.seen = visible
		return nil, ErrUnchanged
	}
	made, err := readCredentials(run, check, func(table string) []string { return tables[table].columns })
	if err == nil {
		s.seen, s.tables = visible, tables
	}
	return made, err
}

// table looks at one table, and whether it was written to since the last look:
// every row carries the transaction that wrote it, and one that is deleted
// shows in the count.
func (s *postgresCredentials) table(run runner, name string) (t postgresTable, written bool, err error) {
	t.plain = true
	err = run(`SELECT a.attname::text, c.relkind::text, c.oid::text || ':' || coalesce(pg_relation_filenode(c.oid), 0)::text
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.oid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, []any{name},
		func([]string) error { return nil },
		func(v []any) error {
			column, _ := v[0].(string)
			t.columns = append(t.columns, column)
			t.plain = t.plain && v[1] == "r"
			t.state += fmt.Sprint(column, v[2], ";")
			return nil
		})
	if err != nil || len(t.columns) == 0 || !t.plain {
		return t, false, err
	}
	since := "true"
	if s.seen != "" {
		if since, err = writtenSince(s.seen); err != nil {
			return t, false, err
		}
	}
	values, err := readRow(run, "SELECT count(*), count(*) FILTER (WHERE "+since+") FROM "+name)
	if err != nil {
		return t, false, err
	}
	t.rows, _ = values[0].(int64)
	changed, _ := values[1].(int64)
	return t, changed > 0, nil
}

var _ CredentialSource = (*postgresCredentials)(nil)
