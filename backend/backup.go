package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqlstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// backup runs "petstore backup FOLDER": the SQLite files of the data folder are
// copied while the server goes on.
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
	c := copying{from: data.dir, to: rest[0]}
	if err := os.Mkdir(c.to, 0o700); err != nil {
		return fmt.Errorf("making the folder of the backup: %w", err)
	}
	if err := c.run(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.stdout, "%d files backed up into %q and checked\nTo restore: stop the server and put them back into the data folder, without any -wal or -shm file.\n", len(c.done)+1, c.to)
	return err
}

// copying is one backup. Each file is copied as it is at one moment, but these
// are several moments, and a tenant may be created or moved between them. So the
// main file is copied last, and what its copy says decides: a tenant's own file
// is right when the tenant had its data there from before that was copied until
// the main file was. The others are copied again.
type copying struct {
	from, to string
	done     map[tenant.Slug]control.OwnPlace // whose file is in the backup, and from where
	between  func(round int)                  // set by tests only
}

// rounds bound how often what changed meanwhile is copied again. Each copies
// only that, so that more than a few are needed only where tenants move all the
// time.
const rounds = 10

func (c *copying) run(ctx context.Context) (err error) {
	live, err := sqldb.OpenSQLite(ctx, c.main(c.from), sqldb.SQLiteOptions{MustExist: true, Readers: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, live.Close()) }()
	c.done = map[tenant.Slug]control.OwnPlace{}
	var wrong []string
	var last map[tenant.Slug]control.OwnPlace
	for round := range rounds {
		places, err := control.OwnPlaces(ctx, live)
		if err != nil {
			return err
		}
		if err := c.copyChanged(ctx, places); err != nil {
			return err
		}
		if c.between != nil {
			c.between(round)
		}
		if places, err = c.copyMain(ctx); err != nil {
			return err
		}
		if wrong = c.differing(places); len(wrong) == 0 {
			return c.removeOthers(places)
		}
		if maps.Equal(places, last) {
			break // nothing has moved: the data is missing
		}
		last = places
	}
	// Without its main file nobody takes it for a backup.
	return errors.Join(fmt.Errorf("backing up: the data of these tenants is missing, or moved each time that it was copied: %.300q", wrong), os.Remove(c.main(c.to)))
}

func (c *copying) main(dir string) string { return filepath.Join(dir, "petstore.db") }

func (c *copying) file(dir string, slug tenant.Slug, p control.OwnPlace) string {
	return sqlstore.File(filepath.Join(dir, "tenants"), p.Isolation, slug)
}

// copyChanged copies the files of the tenants that are not where their copy is
// from. One that is gone by then is looked for in the next round.
func (c *copying) copyChanged(ctx context.Context, places map[tenant.Slug]control.OwnPlace) error {
	for slug, place := range places {
		old, copied := c.done[slug]
		if copied && old == place {
			continue
		}
		if copied {
			if err := os.Remove(c.file(c.to, slug, old)); err != nil {
				return fmt.Errorf("replacing a copy: %w", err)
			}
			delete(c.done, slug)
		}
		to := c.file(c.to, slug, place)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return fmt.Errorf("making the folder of the backup: %w", err)
		}
		err := sqldb.BackUp(ctx, c.file(c.from, slug, place), to)
		switch {
		case err == nil:
			c.done[slug] = place
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, sqldb.ErrReplaced):
			return err
		}
	}
	return nil
}

// copyMain copies the main file and returns what the copy says of tenants' own.
func (c *copying) copyMain(ctx context.Context) (places map[tenant.Slug]control.OwnPlace, err error) {
	to := c.main(c.to)
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("replacing a copy: %w", err)
	}
	if err := sqldb.BackUp(ctx, c.main(c.from), to); err != nil {
		return nil, err
	}
	copied, err := sqldb.OpenSQLite(ctx, to, sqldb.SQLiteOptions{MustExist: true, Readers: 1})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, copied.Close()) }()
	if err := control.SetUpAnew(ctx, copied); err != nil {
		return nil, err
	}
	return control.OwnPlaces(ctx, copied)
}

// differing names the tenants whose data the backup has not, or not as it was
// when the main file was copied.
func (c *copying) differing(places map[tenant.Slug]control.OwnPlace) (slugs []string) {
	for slug, place := range places {
		if got, copied := c.done[slug]; !copied || got != place {
			slugs = append(slugs, slug.String())
		}
	}
	slices.Sort(slugs)
	return slugs
}

// removeOthers removes the copies of tenants that are elsewhere by now, or purged.
func (c *copying) removeOthers(places map[tenant.Slug]control.OwnPlace) error {
	for slug, place := range maps.Clone(c.done) {
		if _, own := places[slug]; own {
			continue
		}
		if err := os.Remove(c.file(c.to, slug, place)); err != nil {
			return fmt.Errorf("removing a copy that belongs to nobody: %w", err)
		}
		delete(c.done, slug)
	}
	return nil
}
