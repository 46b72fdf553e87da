package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// What the tables' owner does: make, migrate and remove what holds tenants.

var errNoOwner = errors.New("the owner's URL is needed to make, migrate or remove tenants' tables")

// asOwner runs one statement in the main database.
func (e *postgres) asOwner(ctx context.Context, statement string) error {
	if e.owner == nil {
		return errNoOwner
	}
	_, err := e.owner.ExecContext(ctx, statement)
	return sqldb.Classify(err)
}

func (e *postgres) create(ctx context.Context, i petstore.Isolation, t tenant.Slug) error {
	switch i {
	case petstore.Schema:
		return e.asOwner(ctx, `CREATE SCHEMA IF NOT EXISTS `+sqldb.Quote(schemaName(t)))
	case petstore.Database:
		return e.createDatabase(ctx, t)
	}
	return nil
}

func (e *postgres) drop(ctx context.Context, i petstore.Isolation, t tenant.Slug) error {
	switch i {
	case petstore.Schema:
		return e.asOwner(ctx, `DROP SCHEMA IF EXISTS `+sqldb.Quote(schemaName(t))+` CASCADE`)
	case petstore.Database:
		return e.asOwner(ctx, `DROP DATABASE IF EXISTS `+sqldb.Quote(e.databaseName(t))+` WITH (FORCE)`)
	}
	return nil
}

// createDatabase makes a database that only its owner and the ordinary role
// may connect to. CREATE DATABASE cannot run in a transaction: a crash between
// the statements is mended by the next call.
func (e *postgres) createDatabase(ctx context.Context, t tenant.Slug) error {
	if e.owner == nil {
		return errNoOwner
	}
	name := e.databaseName(t)
	var there bool
	err := e.owner.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`, name).Scan(&there)
	if err != nil {
		return sqldb.Classify(err)
	}
	if !there {
		// template0 has no sessions, which would block the copy.
		if err := e.asOwner(ctx, `CREATE DATABASE `+sqldb.Quote(name)+` TEMPLATE template0`); err != nil {
			return err
		}
	}
	if err := e.asOwner(ctx, `REVOKE CONNECT, TEMPORARY ON DATABASE `+sqldb.Quote(name)+` FROM PUBLIC`); err != nil {
		return err
	}
	if err := e.asOwner(ctx, `GRANT CONNECT ON DATABASE `+sqldb.Quote(name)+` TO `+sqldb.Quote(e.role)); err != nil {
		return err
	}
	db, err := sqldb.OpenPostgresTool(e.ownerURL, sqldb.PostgresOptions{Database: name})
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `CREATE SCHEMA IF NOT EXISTS `+sqldb.Quote(sharedSchema))
	return errors.Join(sqldb.Classify(err), db.Close())
}

// migrator opens one schema of one database for migrations. Afterwards the
// ordinary role may use the tables, and read which version they have.
func (e *postgres) migrator(ctx context.Context, i petstore.Isolation, t tenant.Slug) (*migrator, error) {
	database, schema := e.base, schemaOf(i, t)
	switch i {
	case petstore.Shared:
		if err := e.asOwner(ctx, `CREATE SCHEMA IF NOT EXISTS `+sqldb.Quote(schema)); err != nil {
			return nil, err
		}
	case petstore.Database:
		database = e.databaseName(t)
	}
	if e.owner == nil {
		return nil, errNoOwner
	}
	db, err := sqldb.OpenPostgresTool(e.ownerURL, sqldb.PostgresOptions{Database: database, SearchPath: schema})
	if err != nil {
		return nil, err
	}
	m, err := sqldb.NewMigrator(db, sqldb.Postgres, migrations, versionTable)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	grants := fmt.Sprintf(`GRANT USAGE ON SCHEMA %[1]s TO %[2]s;
		GRANT SELECT ON ALL TABLES IN SCHEMA %[1]s TO %[2]s;
		GRANT INSERT, UPDATE, DELETE ON tenant_spaces, pets TO %[2]s`, sqldb.Quote(schema), sqldb.Quote(e.role))
	return &migrator{
		Migrator: m, close: db.Close,
		after: func(ctx context.Context) error {
			_, err := db.ExecContext(ctx, grants)
			return sqldb.Classify(err)
		},
	}, nil
}
