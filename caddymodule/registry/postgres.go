package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// NewPostgres returns a source that reads tenants from Postgres. The DSN is a
// URL or a list of key=value pairs as libpq takes it; what it leaves out comes
// from the PG* environment variables. Nothing is connected before the first look.
//
// The query is as in [NewSQLite]; hosts may also be a text array and id a uuid or
// an integer. An empty query reads the tables tenants and, if it exists,
// tenant_hosts, both found by the search path.
//
// Whether anything may have changed since the last look costs one short query: as
// long as no transaction in the whole server has begun to write or ended, the
// records are not read again.
func NewPostgres(dsn, query string) (Source, error) {
	config, err := parsePostgres(dsn)
	if err != nil {
		return nil, err
	}
	return &postgres{dsn: dsn, query: strings.TrimSpace(query), name: postgresName(config)}, nil
}

type postgres struct {
	dsn, query, name string

	conn *pgx.Conn
	// seen is the visibility of transactions at the last successful load.
	seen string
}

func parsePostgres(dsn string) (*pgx.ConnConfig, error) {
	if dsn == "" {
		return nil, errors.New(`reading postgres source: expected a DSN as in "postgres://user@host:5432/database", found ""`)
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// The driver's error repeats the DSN with what it takes for the password cut
		// out; if the DSN is malformed, that is a guess.
		return nil, fmt.Errorf("reading postgres source: expected a DSN as in %q: %w", "postgres://user@host:5432/database", errors.Unwrap(err))
	}
	config.RuntimeParams["application_name"] = "caddy-tenancy"
	return config, nil
}

func postgresName(c *pgx.ConnConfig) string {
	return fmt.Sprintf("postgres %s:%d/%s", c.Host, c.Port, c.Database)
}

func (s *postgres) String() string { return s.name }

func (s *postgres) Close() error {
	if s.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.conn.Close(ctx)
	s.conn = nil
	return err
}

func (s *postgres) Load(ctx context.Context) ([]Record, error) {
	records, err := s.load(ctx)
	if err != nil && !errors.Is(err, ErrUnchanged) {
		_ = s.Close()
		return nil, fmt.Errorf("reading tenants from %s: %w", s.name, err)
	}
	return records, err
}

func (s *postgres) load(ctx context.Context) ([]Record, error) {
	if s.conn == nil {
		// Read anew, so that a rotated password file or certificate is picked up.
		config, err := parsePostgres(s.dsn)
		if err != nil {
			return nil, err
		}
		if s.conn, err = pgx.ConnectConfig(ctx, config); err != nil {
			return nil, err
		}
	}
	// Repeatable read: the probe and the records see the same state.
	tx, err := s.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	// Unlike a log position or a time of change, the list of running transactions
	// cannot miss a commit that was under way when it was looked at.
	var visible string
	if err := tx.QueryRow(ctx, "SELECT pg_current_snapshot()::text").Scan(&visible); err != nil {
		return nil, err
	}
	if visible == s.seen {
		return nil, ErrUnchanged
	}
	records, err := s.read(ctx, tx)
	if err != nil {
		return nil, err
	}
	s.seen = visible
	return records, nil
}

func (s *postgres) read(ctx context.Context, tx pgx.Tx) ([]Record, error) {
	query := s.query
	if query == "" {
		var err error
		if query, err = postgresDefaultQuery(ctx, tx); err != nil {
			return nil, err
		}
	}
	// Not prepared: the tables may change under a long connection, and a pooler in
	// between may know nothing of prepared statements.
	rows, err := tx.Query(ctx, query, pgx.QueryExecModeExec)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	// The columns are known with the first row, or with the end.
	more := rows.Next()
	if err := rows.Err(); err != nil {
		return nil, err
	}
	names := fieldsOf(rows)
	if err := checkColumns(names); err != nil {
		return nil, err
	}
	var records []Record
	for ; more; more = rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return nil, err
		}
		r := Record{Row: len(records) + 1}
		for i, name := range names {
			r.set(name, normalize(values[i]))
		}
		records = append(records, r)
	}
	return records, rows.Err()
}

func fieldsOf(rows pgx.Rows) []string {
	var names []string
	for _, f := range rows.FieldDescriptions() {
		names = append(names, f.Name)
	}
	return names
}

// normalize reduces the driver's integer types to one.
func normalize(value any) any {
	switch v := value.(type) {
	case int16:
		return int64(v)
	case int32:
		return int64(v)
	}
	return value
}

func postgresDefaultQuery(ctx context.Context, tx pgx.Tx) (string, error) {
	var c catalog
	for table, columns := range map[string]*[]string{"tenants": &c.tenants, "tenant_hosts": &c.hosts} {
		rows, err := tx.Query(ctx, `SELECT attname FROM pg_attribute
			WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`, pgx.QueryExecModeExec, table)
		if err != nil {
			return "", err
		}
		if *columns, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return "", err
		}
	}
	return c.defaultQuery("string_agg(host, ',')", func(column string) string { return column + "::text IN ('t', 'true', '1')" })
}

var _ Source = (*postgres)(nil)
