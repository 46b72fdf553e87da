package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
)

// backup runs "petstore backup FOLDER": every SQLite file of the data folder
// is copied as it is at one moment, while the server goes on. The main file is
// copied last: a tenant that its catalog knows has its own file in the backup
// already, and one that appeared in between is set up again from its record.
func backup(ctx context.Context, env environment, args []string) error {
	var data dataConfig
	f := newFlags(env, "backup", "backup FOLDER [flags]")
	data.register(f)
	rest, err := f.parse(args, "the folder to make for the backup")
	if err != nil {
		return ignoreHelp(err)
	}
	if data.url != "" {
		return usageError{errors.New("backing up Postgres: use its own tools, pg_dump for one database or pg_basebackup for all")}
	}
	target := rest[0]
	if err := os.Mkdir(target, 0o700); err != nil {
		return fmt.Errorf("making the folder of the backup: %w", err)
	}
	var files []string
	err = filepath.WalkDir(data.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(path, ".db") && filepath.Dir(path) != filepath.Clean(data.dir) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("looking for files to back up: %w", err)
	}
	for _, path := range append(files, filepath.Join(data.dir, "petstore.db")) {
		relative, err := filepath.Rel(data.dir, path)
		if err != nil {
			return err
		}
		to := filepath.Join(target, relative)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return fmt.Errorf("making the folder of the backup: %w", err)
		}
		if err := sqldb.BackUp(ctx, path, to); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(env.stdout, "%d files backed up into %q and checked\nTo restore: stop the server and put them back into the data folder, without any -wal or -shm file.\n", len(files)+1, target)
	return err
}
