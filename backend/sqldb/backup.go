package sqldb

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// BackUp copies a SQLite file as it is at one moment, by VACUUM INTO, while
// others read and write it, and checks the copy. The copy is on disk when
// BackUp returns; a copy that fails the check is removed.
func BackUp(ctx context.Context, from, to string) error {
	if err := backUp(ctx, from, to); err != nil {
		return fmt.Errorf("backing up %q: %w", from, err)
	}
	return nil
}

func backUp(ctx context.Context, from, to string) (err error) {
	db, err := OpenSQLite(ctx, from, SQLiteOptions{MustExist: true, Readers: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	// It is made here, since SQLite would let others read it.
	if err := makeFile(to); err != nil {
		return err
	}
	_, err = db.write.ExecContext(ctx, `VACUUM INTO $1`, to)
	if err == nil {
		err = db.check() // or it may be half of one file and half of another's log
	}
	if err != nil {
		return errors.Join(Classify(err), os.Remove(to))
	}
	if err := CheckIntegrity(ctx, to); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	f, err := os.OpenFile(to, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// CheckIntegrity runs SQLite's own check over a file.
func CheckIntegrity(ctx context.Context, path string) (err error) {
	db, err := OpenSQLite(ctx, path, SQLiteOptions{MustExist: true, Readers: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var result string
	if err := db.write.QueryRowContext(ctx, `PRAGMA integrity_check`).Scan(&result); err != nil {
		return Classify(err)
	}
	if result != "ok" {
		return fmt.Errorf("checking %q: %.200s", path, result)
	}
	return nil
}
