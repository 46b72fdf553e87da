package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// postgres is the engine Postgres. Requests run as an ordinary role; only
// what makes, migrates and removes tables runs as their owner.
//
// Row level security holds in every strategy, since the tables are made by
// the same migrations; "schema" and "database" add a search path and a
// database to it.
type postgres struct {
	main     *sqldb.DB
	url      string // of the ordinary role
	ownerURL string // of the owner; empty where tenants are not made or migrated
	owner    *sql.DB
	role     string // the ordinary role's name
	base     string // the main database's name, the beginning of the tenants' names
}

// sharedSchema holds the tables that tenants share, apart from the catalog's.
const sharedSchema = "petstore_shared"

// connectionsPerDatabase bounds each tenant's own pool.
const connectionsPerDatabase = 3

// newPostgres asks the server who the two roles are. It refuses an ordinary
// role that row level security does not bind.
func newPostgres(ctx context.Context, main *sqldb.DB, url, ownerURL string) (*postgres, error) {
	e := &postgres{main: main, url: url, ownerURL: ownerURL}
	err := main.View(ctx, func(c sqldb.Conn) error {
		return c.QueryRowContext(ctx, `SELECT current_user, current_database()`).Scan(&e.role, &e.base)
	})
	if err == nil {
		err = CheckRole(ctx, main)
	}
	if err != nil {
		return nil, err
	}
	if ownerURL != "" {
		if e.owner, err = sqldb.OpenPostgresTool(ownerURL, sqldb.PostgresOptions{}); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// ErrRole means that the role could get around row level security.
var ErrRole = errors.New("the role could bypass row level security; give petstore an ordinary role that owns no tables")

// CheckRole refuses a role that row level security does not bind, with
// [ErrRole]. It is asked before anything is made for the role, too.
func CheckRole(ctx context.Context, db *sqldb.DB) error {
	if db.Engine != sqldb.Postgres {
		return nil
	}
	if err := db.View(ctx, func(c sqldb.Conn) error { return checkRole(ctx, c) }); err != nil {
		return fmt.Errorf("checking the Postgres role: %w", err)
	}
	return nil
}

func checkRole(ctx context.Context, c sqldb.Conn) error {
	var name string
	err := c.QueryRowContext(ctx, `SELECT rolname FROM pg_roles
		WHERE (rolsuper OR rolbypassrls) AND pg_has_role(current_user, oid, 'MEMBER') LIMIT 1`).Scan(&name)
	if err == nil {
		return fmt.Errorf("%w: it is, or may become, %q", ErrRole, name)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	err = c.QueryRowContext(ctx, `SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\_%' AND pg_has_role(current_user, c.relowner, 'MEMBER') LIMIT 1`).Scan(&name)
	if err == nil {
		return fmt.Errorf("%w: it owns table %q", ErrRole, name)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return nil
}

// schemaName and databaseName are identifiers of at most 63 bytes, the longest
// that Postgres keeps whole. A slug has no underscore, so that a shortened
// name is nobody else's full one.
func schemaName(t tenant.Slug) string { return fit("tenant_", t.String()) }

func (e *postgres) databaseName(t tenant.Slug) string { return fit(e.base+"_tenant_", t.String()) }

func fit(prefix, name string) string {
	const most = 63
	if len(prefix)+len(name) <= most {
		return prefix + name
	}
	sum := sha256.Sum256([]byte(prefix + name))
	tail := "_" + hex.EncodeToString(sum[:8])
	return (prefix + name)[:most-len(tail)] + tail
}

// as binds row level security to t. The slug needs no escaping by its grammar.
func as(t tenant.Slug) string { return `; SET LOCAL app.tenant = '` + t.String() + `'` }

// schemaOf is where a strategy's tables are in their database.
func schemaOf(i petstore.Isolation, t tenant.Slug) string {
	if i == petstore.Schema {
		return schemaName(t)
	}
	return sharedSchema
}

func (e *postgres) pool(petstore.Isolation) *sqldb.DB { return e.main }

func (e *postgres) open(_ context.Context, t tenant.Slug) (*sqldb.DB, error) {
	return sqldb.OpenPostgres(e.url, sqldb.PostgresOptions{Database: e.databaseName(t), Connections: connectionsPerDatabase})
}

func (e *postgres) in(i petstore.Isolation, t tenant.Slug) sqldb.Setup {
	return sqldb.Setup{Inside: as(t) + `; SET LOCAL search_path = ` + sqldb.Quote(schemaOf(i, t))}
}

func (e *postgres) gone(err error, _ petstore.Isolation, _ tenant.Slug) bool {
	return errors.Is(err, sqldb.ErrNoDatabase)
}

func (e *postgres) close() error {
	if e.owner == nil {
		return nil
	}
	return e.owner.Close()
}

var _ engine = (*postgres)(nil)
