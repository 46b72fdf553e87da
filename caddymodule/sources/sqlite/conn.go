package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"strings"
	"time"

	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sqlrows"
)

// conn is the connection to a file that somebody else writes to. Whether anything
// has been committed costs one pragma, as long as it is kept open.
type conn struct {
	path string

	db   *sql.DB
	conn *sql.Conn   // nil if it is not open
	file os.FileInfo // as it was before conn was opened
	seen *stamp      // of the last poll that succeeded, nil before it and after a failure
}

// stamp is the same as long as nobody has changed the database. The pragma tells of
// commits; size and time tell of those who overwrite the file itself.
type stamp struct {
	version  int64
	size     int64
	modified time.Time
}

// Poll implements [sqlrows.Conn]. The stamp is taken before the read, so that a
// commit in between is met again at the next poll.
func (c *conn) Poll(ctx context.Context, all bool, read func(run sqlrows.Runner, fresh bool) error) error {
	now, fresh, err := c.probe(ctx)
	if err == nil && !all && !fresh && c.seen != nil && now == *c.seen {
		return registry.ErrUnchanged
	}
	if err == nil {
		err = c.view(ctx, func(run sqlrows.Runner) error { return read(run, fresh) })
	}
	if err == nil || errors.Is(err, registry.ErrUnchanged) {
		c.seen = &now
	} else {
		_ = c.Close() // whatever is wrong with the connection goes with it
	}
	return err
}

// probe opens the connection if there is none, or if the one there is may show
// another database's pages, which it says.
func (c *conn) probe(ctx context.Context) (now stamp, fresh bool, err error) {
	file, err := os.Stat(c.path)
	if err != nil {
		return now, false, errors.Unwrap(err) // the path is named already
	}
	if !file.Mode().IsRegular() {
		return now, false, errors.New("expected a regular file")
	}
	if c.conn != nil && !os.SameFile(file, c.file) {
		_ = c.Close()
	}
	fresh = c.conn == nil
	if now, err = c.stamp(ctx, file); err != nil || fresh || c.seen == nil {
		return now, fresh, err
	}
	if now.version == c.seen.version && now != *c.seen {
		// No commit and yet another file.
		_ = c.Close()
		fresh = true
		now, err = c.stamp(ctx, file)
	}
	return now, fresh, err
}

func (c *conn) stamp(ctx context.Context, file os.FileInfo) (stamp, error) {
	if c.conn == nil {
		if err := c.open(ctx, file); err != nil {
			return stamp{}, err
		}
	}
	s := stamp{size: file.Size(), modified: file.ModTime()}
	err := c.conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&s.version)
	return s, err
}

func (c *conn) open(ctx context.Context, file os.FileInfo) error {
	name := url.URL{Path: c.path}
	address := name.EscapedPath()
	if strings.HasPrefix(address, "/") {
		address = "//" + address // an empty host, so that a path that begins with // names none
	}
	db, err := sql.Open("sqlite", "file:"+address+"?mode=ro&_pragma=busy_timeout(500)&_pragma=query_only(1)")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	opened, err := db.Conn(ctx)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	c.db, c.conn, c.file = db, opened, file
	return nil
}

// Interval implements [sqlrows.Conn]. It is short, because a poll that finds nothing
// new costs less than a request.
func (c *conn) Interval() time.Duration { return 100 * time.Millisecond }

// String implements [sqlrows.Conn].
func (c *conn) String() string { return "sqlite " + c.path }

// Close implements [sqlrows.Conn].
func (c *conn) Close() error {
	c.seen = nil
	if c.db == nil {
		return nil
	}
	err := errors.Join(c.conn.Close(), c.db.Close())
	c.db, c.conn = nil, nil
	return err
}
