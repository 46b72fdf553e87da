package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sqlrows"
)

// The time between two polls: short where one is a short query, longer where a
// query's rows are all read each time.
const pollCounted, pollAll = 100 * time.Millisecond, 400 * time.Millisecond

// conn is the connection on which polls are made.
type conn struct {
	dsn  string
	name string // of the place, without a secret

	interval time.Duration
	conn     *pgx.Conn // nil if it is not open
	listener *listener
}

// connect reads the DSN anew, so that a rotated password file or certificate is
// picked up.
func connect(ctx context.Context, dsn string) (*pgx.Conn, error) {
	config, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if e := (*pgconn.PgError)(nil); errors.As(err, &e) && e.Code == unknownParameter {
		return nil, errDSN // the server quotes it
	}
	return conn, err
}

// unknownParameter is what a server answers to a piece of a password that reads like
// a parameter of the DSN.
const unknownParameter = "42704"

// Poll implements [sqlrows.Conn]. A connection that turns out to be broken is opened
// once more: the server may have been back for long.
func (c *conn) Poll(ctx context.Context, _ bool, read func(run sqlrows.Runner, fresh bool) error) (err error) {
	c.listener.start() //nolint:contextcheck // it outlives the poll: Close ends it
	for {
		reused := c.conn != nil
		if !reused {
			c.conn, err = connect(ctx, c.dsn)
		}
		if err == nil {
			err = c.view(ctx, func(run sqlrows.Runner) error { return read(run, !reused) })
		}
		if err == nil || errors.Is(err, registry.ErrUnchanged) {
			return err
		}
		broken := c.conn != nil && c.conn.IsClosed()
		_ = c.disconnect() //nolint:contextcheck // the poll's context may be what has ended
		if !reused || !broken || ctx.Err() != nil {
			return err
		}
		err = nil
	}
}

// begin has the poll's queries see one state, and has the server write values as
// pgx reads them, whatever the role, the database or a pooler have set.
const begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL client_encoding = 'UTF8'; SET LOCAL DateStyle = 'ISO'; " +
	"SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1"

// view calls f in one transaction.
func (c *conn) view(ctx context.Context, f func(run sqlrows.Runner) error) error {
	tx, err := c.conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: begin})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	return f(c.runner(ctx))
}

// Interval implements [sqlrows.Conn].
func (c *conn) Interval() time.Duration { return c.interval }

// String implements [sqlrows.Conn].
func (c *conn) String() string { return c.name }

// Close implements [sqlrows.Conn].
func (c *conn) Close() error {
	c.listener.close()
	return c.disconnect()
}

func (c *conn) disconnect() error {
	if c.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := c.conn.Close(ctx)
	c.conn = nil
	return err
}
