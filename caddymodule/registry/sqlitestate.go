package registry

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// sqliteState is the same as long as the tables are, rows and columns: a SHA-256 of
// their schema and of the pages that hold them, in a tenth of the time that the rows
// take. It is [errNoPages] for what has no pages of its own, as a view.
func sqliteState(run runner, tables []string) (state [sha256.Size]byte, err error) {
	hash := sha256.New()
	note := func(v []any) error {
		fmt.Fprintf(hash, "%q\n", v)
		return nil
	}
	for _, pragma := range []string{"PRAGMA encoding", "PRAGMA page_size"} {
		if err := run(pragma, nil, noHead, note); err != nil {
			return state, err
		}
	}
	for _, table := range tables {
		if err := sqliteTableState(run, table, hash, note); err != nil {
			return state, err
		}
	}
	hash.Sum(state[:0])
	return state, nil
}

func sqliteTableState(run runner, table string, hash io.Writer, note func([]any) error) error {
	there := false
	err := run("SELECT sql FROM sqlite_schema WHERE name = ?", []any{table}, noHead, func(v []any) error {
		there = true
		return note(v)
	})
	if err != nil || !there {
		return errors.Join(err, note([]any{table, there}))
	}
	return sqliteTablePages(run, table, func(number int64, _ any, data []byte) error {
		_, _ = hash.Write(data) // a page's size is that of all
		return binary.Write(hash, binary.BigEndian, number)
	})
}
