package sqlstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

//go:embed migrations/*.sql
var embedded embed.FS

// migrations make the tables that hold tenants' pets.
var migrations, _ = fs.Sub(embedded, "migrations") // fails for no valid name

// versionTable holds the numbers of the migrations applied, beside the tables
// that they made.
const versionTable = "tenant_schema_versions"

// Options shape a [Store].
type Options struct {
	// DB is the main database. It stays the caller's to close.
	DB *sqldb.DB
	// Dir is the folder of the tenants' own files (SQLite).
	Dir string
	// URL and OwnerURL are how the ordinary role and the tables' owner connect
	// (Postgres). Without an owner no tenant can be made, migrated or removed.
	URL, OwnerURL string
	// OpenDatabases bounds the tenants' own databases that are open at one
	// time; 0 means 64.
	OpenDatabases int
	// Route finds a tenant's place; nil means [Always] petstore.Shared.
	Route Router
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Open returns a store over the main database. It makes nothing: tables are
// made by [Store.Migrate] and tenants by [Store.Create]. On Postgres it refuses
// a role that row level security does not bind, with [ErrRole].
func Open(ctx context.Context, o Options) (*Store, error) {
	target, err := sqldb.Newest(migrations)
	if err != nil {
		return nil, err
	}
	if o.Route == nil {
		o.Route = Always(petstore.Shared)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OpenDatabases == 0 {
		o.OpenDatabases = 64
	}
	var e engine
	if o.DB.Engine == sqldb.Postgres {
		e, err = newPostgres(ctx, o.DB, o.URL, o.OwnerURL)
	} else {
		e, err = newSQLite(o.DB, o.Dir)
	}
	if err != nil {
		return nil, err
	}
	s := &Store{route: o.Route, engine: o.DB.Engine, sql: petStatements, target: target, now: o.Now, close: e.close,
		places: map[petstore.Isolation]*place{}}
	s.sql.getForChange = s.sql.get
	if s.engine == sqldb.Postgres {
		s.sql.getForChange += forUpdate
	}
	for _, i := range petstore.Isolations {
		s.places[i] = newPlace(e, i, o.OpenDatabases)
	}
	return s, nil
}

// Target is the version of the tables that this program's statements need.
func (s *Store) Target() int64 { return s.target }

// Migrate brings one set of tables up to date and returns the version reached:
// t's own tables, or those that all tenants share.
func (s *Store) Migrate(ctx context.Context, t tenant.Slug, i petstore.Isolation) (version int64, err error) {
	p, err := s.place(i)
	if err != nil {
		return 0, err
	}
	m, err := p.engine.migrator(ctx, i, t)
	if err == nil {
		version, err = m.Up(ctx)
		if err == nil && m.after != nil {
			err = m.after(ctx)
		}
		err = errors.Join(err, m.close())
	}
	if err != nil {
		return 0, fmt.Errorf("migrating the tables of tenant %q: %w", t, err)
	}
	return version, nil
}

// Create makes a place for t's pets, with its tables in the newest version. It
// may be repeated: what is there already is left as it is.
func (s *Store) Create(ctx context.Context, t tenant.Slug, i petstore.Isolation) error {
	return s.createIn(ctx, t, i, stateOpen)
}

func (s *Store) createIn(ctx context.Context, t tenant.Slug, i petstore.Isolation, state string) error {
	p, err := s.place(i)
	if err != nil {
		return err
	}
	if err := s.Make(ctx, t, i); err != nil {
		return err
	}
	if !p.shared() {
		if _, err := s.Migrate(ctx, t, i); err != nil {
			return err
		}
	}
	err = p.update(ctx, t, func(c sqldb.Conn) error {
		return sqldb.Exec(ctx, c, spaceOpen, t.String(), state, sqldb.Micros(s.now()))
	})
	if err != nil {
		return fmt.Errorf("opening the space of tenant %q: %w", t, err)
	}
	return nil
}

// Remove deletes all that t has in that place. It may be repeated, and other
// tenants are not touched.
func (s *Store) Remove(ctx context.Context, t tenant.Slug, i petstore.Isolation) error {
	p, err := s.place(i)
	if err != nil {
		return err
	}
	if p.shared() {
		err = p.update(ctx, t, func(c sqldb.Conn) error {
			if err := sqldb.Exec(ctx, c, petsDelete, t.String()); err != nil {
				return err
			}
			return sqldb.Exec(ctx, c, spaceDelete, t.String())
		})
	} else {
		err = p.drop(ctx, t)
	}
	if err != nil {
		return fmt.Errorf("removing the data of tenant %q: %w", t, err)
	}
	return nil
}
