package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqlstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/dial"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// dataConfig is the part of the configuration that every command needs: where
// the data is and how tenants are kept apart.
type dataConfig struct {
	baseDomain string
	publicPort int

	dir       string
	url       string
	ownerURL  string
	plans     string
	isolation string
	mostOpen  int
	log       *slog.Logger // of what is wrong with the data

	reservedFile string
	upstreams    string

	// Of the server alone; 0 elsewhere.
	auditKeep int
	auditAge  time.Duration
}

func (c *dataConfig) register(f *flags) {
	c.log = slog.New(slog.NewTextHandler(f.env.stderr, nil))
	f.StringVar(&c.dir, "data", "data", "folder of the database and the keys")
	f.StringVar(&c.url, "database-url", "", "Postgres as the role that serves requests, such as postgres://petapp@host/petstore; empty means SQLite in the data folder")
	f.StringVar(&c.ownerURL, "owner-url", "", "Postgres as the role that owns the tables, for migrations and new tenants")
	f.IntVar(&c.mostOpen, "open-databases", 64, "tenants' own databases that are open at one time")
	f.StringVar(&c.baseDomain, "base-domain", "petstore.localhost", "domain under which tenants have their sites")
	f.IntVar(&c.publicPort, "public-port", 8443, "port of the gateway, for the addresses in answers")
	f.StringVar(&c.plans, "plans", "free,basic,premium,enterprise", "plans a tenant may have, the default first")
	f.StringVar(&c.reservedFile, "reserved-names", "", "file of more names that no new tenant may have, separated by blanks; lines that begin with # are comments")
	f.StringVar(&c.upstreams, "upstreams-allow", "", "what tenants' own backends may be, as the gateway's allow lists it: ranges, addresses, names and domains, separated by commas; empty means any other machine")
	f.StringVar(&c.isolation, "isolation", "shared", "where new tenants' data goes: shared, schema or database")
}

// backend is the opened data.
type backend struct {
	db        *sqldb.DB
	owner     *sql.DB // nil on SQLite, or without an owner's URL
	catalog   *control.Catalog
	directory *control.Directory
	store     *sqlstore.Store
}

// open opens the data and brings the tables that all share up to date.
func (c *dataConfig) open(ctx context.Context) (_ *backend, err error) {
	plans, isolation, err := c.check()
	if err != nil {
		return nil, err
	}
	reserved, allowed, err := c.rules()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data folder: %w", err)
	}
	b := &backend{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if err := c.connect(ctx, b); err != nil {
		return nil, err
	}
	b.catalog, err = control.Open(ctx, control.Options{DB: b.db, Owner: b.owner, Plans: plans, Isolation: isolation, BaseDomain: c.baseDomain, SiteURL: c.siteURL,
		Reserved: reserved, Upstreams: allowed, AccessKeep: c.auditKeep, AccessAge: c.auditAge, Log: c.log})
	if err != nil {
		return nil, err
	}
	if b.directory, err = control.NewDirectory(ctx, b.catalog); err != nil {
		return nil, err
	}
	b.store, err = sqlstore.Open(ctx, sqlstore.Options{
		DB: b.db, Dir: filepath.Join(c.dir, "tenants"), URL: c.url, OwnerURL: c.ownerURL,
		OpenDatabases: c.mostOpen, Route: b.directory.Route,
	})
	if err != nil {
		return nil, err
	}
	b.catalog.UseStorage(b.store)
	if b.db.Engine == sqldb.Postgres && b.owner == nil {
		return b, nil // somebody else migrates
	}
	version, err := b.store.Migrate(ctx, tenant.Slug{}, petstore.Shared)
	if err != nil {
		return nil, err
	}
	return b, b.catalog.RecordShared(ctx, version)
}

// with opens the data, runs f and closes it again.
func (c *dataConfig) with(ctx context.Context, f func(*backend) error) error {
	b, err := c.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(f(b), b.close())
}

// connect opens the main database.
func (c *dataConfig) connect(ctx context.Context, b *backend) (err error) {
	if c.url == "" {
		b.db, err = sqldb.OpenSQLite(ctx, filepath.Join(c.dir, "petstore.db"), sqldb.SQLiteOptions{})
		return err
	}
	if b.db, err = sqldb.OpenPostgres(c.url, sqldb.PostgresOptions{}); err != nil {
		return usageError{err}
	}
	if c.ownerURL != "" {
		if b.owner, err = sqldb.OpenPostgresTool(c.ownerURL, sqldb.PostgresOptions{}); err != nil {
			return usageError{err}
		}
	}
	if err := b.db.Ping(ctx); err != nil {
		return fmt.Errorf("connecting to Postgres at %q: %w", sqldb.RedactURL(c.url), err)
	}
	return sqlstore.CheckRole(ctx, b.db) // before anything is made for it
}

func (c *dataConfig) siteURL(slug tenant.Slug) string {
	host := slug.String() + "." + c.baseDomain
	if c.publicPort != 443 {
		host = net.JoinHostPort(host, strconv.Itoa(c.publicPort))
	}
	return "https://" + host
}

func (c *dataConfig) check() ([]tenant.Plan, petstore.Isolation, error) {
	if _, err := tenant.NormalizeHost(c.baseDomain); err != nil {
		return nil, "", usageError{fmt.Errorf("reading --base-domain: %w", err)}
	}
	if c.publicPort < 1 || c.publicPort > 65535 {
		return nil, "", usageError{fmt.Errorf("reading --public-port %d: expected 1 to 65535", c.publicPort)}
	}
	var plans []tenant.Plan
	for _, name := range strings.Split(c.plans, ",") {
		plan, err := tenant.ParsePlan(strings.TrimSpace(name))
		if err != nil {
			return nil, "", usageError{fmt.Errorf("reading --plans %q: %w", c.plans, err)}
		}
		plans = append(plans, plan)
	}
	isolation, err := petstore.ParseIsolation(c.isolation)
	if err != nil {
		return nil, "", usageError{fmt.Errorf("reading --isolation: %w", err)}
	}
	return plans, isolation, nil
}

// rules are what new names and tenants' own backends are checked by.
func (c *dataConfig) rules() (reserved map[string]bool, allowed dial.Policy, err error) {
	if allowed, err = dial.New(words(c.upstreams)); err != nil {
		return nil, allowed, usageError{fmt.Errorf("reading --upstreams-allow: %w", err)}
	}
	if c.reservedFile == "" {
		return nil, allowed, nil
	}
	text, err := os.ReadFile(c.reservedFile)
	if err == nil {
		reserved, err = tenant.ReadNames(string(text))
	}
	if err != nil {
		return nil, allowed, usageError{fmt.Errorf("reading --reserved-names %q: %w", c.reservedFile, err)}
	}
	return reserved, allowed, nil
}

func (b *backend) close() error {
	var all error
	if b.store != nil {
		all = b.store.Close()
	}
	if b.owner != nil {
		all = errors.Join(all, b.owner.Close())
	}
	if b.db != nil {
		all = errors.Join(all, b.db.Close())
	}
	return all
}

// refreshEvery is how soon a change by another process is in force here.
const refreshEvery = 500 * time.Millisecond
