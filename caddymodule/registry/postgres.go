package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// NewPostgres returns a source that reads tenants from Postgres 13 or later. The
// DSN is a URL or a list of key=value pairs as libpq takes it; what it leaves out
// comes from the PG* environment variables. Nothing is connected before the first
// look.
//
// The query is as in [NewSQLite]; hosts may also be a text array and id a uuid or
// an integer. An empty query reads the tables tenants and, if it exists,
// tenant_hosts, both found by the search path.
//
// A change is seen at once if whoever makes it also notifies [NotifyChannel], as a
// trigger can; otherwise at the next look. A look costs one short query as long
// as no transaction in the whole server has begun to write or ended; otherwise
// the rows that were written since are read, if the query is the default one or
// has a version column, and else all of them. Where that takes long because there
// are many tenants, it is not done all the time, unless somebody notifies.
func NewPostgres(dsn, query string) (Source, error) {
	config, err := parsePostgres(dsn)
	if err != nil {
		return nil, err
	}
	s := &postgres{dsn: dsn, query: strings.TrimSpace(query), name: postgresName(config), pace: newPace()}
	s.listener = newListener(s.connect)
	return s, nil
}

type postgres struct {
	dsn, query, name string

	conn     *pgx.Conn
	listener *listener

	// seen is the visibility of transactions at the last successful look that met all
	// there was, at the server that was started at the time in server, and looked
	// that at the last look that met what has a revision.
	seen, looked, server string
	// whole says that the last successful look was a full one; cursor, tables and
	// revision say where the changes after it begin.
	whole    bool
	cursor   cursor
	tables   postgresTables
	revision revisions
	pace     pace
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

// connect reads the DSN anew, so that a rotated password file or certificate is
// picked up.
func (s *postgres) connect(ctx context.Context) (*pgx.Conn, error) {
	config, err := parsePostgres(s.dsn)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, config)
}

// Interval is short, because a look at an unchanged server is one short query.
func (s *postgres) Interval() time.Duration { return 100 * time.Millisecond }

func (s *postgres) String() string   { return s.name }
func (s *postgres) identity() string { return s.String() + "\n" + s.query }

// Changed implements [Notifier].
func (s *postgres) Changed() <-chan struct{} { return s.listener.changed }

func (s *postgres) Close() error {
	s.listener.close()
	return s.disconnect()
}

func (s *postgres) disconnect() error {
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
	changes, err := s.look(ctx, true)
	return changes.Records, err
}

// LoadChanges implements [Incremental].
func (s *postgres) LoadChanges(ctx context.Context) (Changes, error) { return s.look(ctx, false) }

func (s *postgres) look(ctx context.Context, whole bool) (Changes, error) {
	s.listener.start() //nolint:contextcheck // it outlives the look: Close ends it
	reused := s.conn != nil
	changes, err := s.load(ctx, whole)
	if err == nil || errors.Is(err, ErrUnchanged) || errors.Is(err, ErrFull) {
		return changes, err
	}
	broken := s.conn != nil && s.conn.IsClosed()
	_ = s.disconnect() //nolint:contextcheck // the look's context may be what has ended
	s.forget()
	if reused && broken && ctx.Err() == nil {
		// The server may have been back for long; only the connection was not.
		return s.look(ctx, whole)
	}
	return Changes{}, fmt.Errorf("reading tenants from %s: %w", s.name, err)
}

// forget has the next look be a full one.
func (s *postgres) forget() {
	s.seen, s.looked, s.server = "", "", ""
	s.tables, s.cursor, s.revision = postgresTables{}, cursor{}, revisions{}
}

func (s *postgres) load(ctx context.Context, whole bool) (Changes, error) {
	if s.conn == nil {
		conn, err := s.connect(ctx)
		if err != nil {
			return Changes{}, err
		}
		s.conn = conn
	}
	heard := s.listener.heard.Swap(false)
	// At first without a transaction around it, which is two more ways to the server.
	known, _, err := s.unchanged(postgresRunner(ctx, s.conn), whole)
	if err != nil {
		return Changes{}, err
	}
	if known {
		return Changes{}, ErrUnchanged
	}
	// Repeatable read: the probe and the records see the same state.
	tx, err := s.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return Changes{}, err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	return s.read(postgresRunner(ctx, tx), whole, heard)
}

// pgxQueryer is a connection or a transaction.
type pgxQueryer interface {
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
}

func postgresRunner(ctx context.Context, tx pgxQueryer) runner {
	return func(query string, args []any, head func([]string) error, row func([]any) error) error {
		// Not prepared: the tables may change under a long connection, and a pooler
		// in between may know nothing of prepared statements.
		rows, err := tx.Query(ctx, query, append([]any{pgx.QueryExecModeExec}, args...)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		// The columns are known with the first row, or with the end.
		more := rows.Next()
		if err := rows.Err(); err != nil {
			return err
		}
		var names []string
		for _, f := range rows.FieldDescriptions() {
			names = append(names, f.Name)
		}
		if err := head(names); err != nil {
			return err
		}
		for ; more; more = rows.Next() {
			values, err := rows.Values()
			if err != nil {
				return err
			}
			for i := range values {
				values[i] = normalize(values[i])
			}
			if err := row(values); err != nil {
				return err
			}
		}
		return rows.Err()
	}
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

var (
	_ Incremental = (*postgres)(nil)
	_ Paced       = (*postgres)(nil)
	_ Notifier    = (*postgres)(nil)
)
