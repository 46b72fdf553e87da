package sqldb

import (
	"context"
	"strings"
)

// held is a transaction that is open, and heldKey where a context has it.
type (
	held struct {
		db   *DB
		conn Conn
	}
	heldKey struct{}
)

// Hold is Update for work that writes elsewhere too: with the context that f is
// given, whatever writes to this database does so in this transaction, and
// what is written to another one is written while this is open. So nobody can
// change what f has locked here before all of it is done.
func (db *DB) Hold(ctx context.Context, f func(context.Context, Conn) error) error {
	return db.Update(ctx, func(c Conn) error { return f(context.WithValue(ctx, heldKey{}, held{db, c}), c) })
}

// join is run within a transaction that is held. What prepares it stays in
// force until the transaction ends.
func (db *DB) join(ctx context.Context, conn Conn, s Setup, f func(Conn) error) error {
	if inside := strings.TrimPrefix(s.Inside, "; "); inside != "" {
		if err := Exec(ctx, conn, inside); err != nil {
			return Classify(err)
		}
	}
	return db.do(conn, s, f)
}
