package sqldb

import (
	"database/sql"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// PostgresOptions shape a Postgres pool. The zero value is right for the main
// database.
type PostgresOptions struct {
	// Connections bounds the pool; 0 means 16.
	Connections int
	// Database, when not empty, replaces the database named in the URL.
	Database string
	// SearchPath, when not empty, is the schema that unqualified names mean.
	SearchPath string
}

// OpenPostgres opens a pool for a URL such as "postgres://app@host/petstore".
// It checks the URL and does not connect. The error never shows the password.
//
// A statement ends after 10 s and a wait for a lock after 5 s; the session's
// time zone is UTC.
func OpenPostgres(rawURL string, o PostgresOptions) (*DB, error) {
	cfg, err := postgresConfig(rawURL, o)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"application_name": "petstore", "statement_timeout": "10s", "lock_timeout": "5s",
		"idle_in_transaction_session_timeout": "30s",
	} {
		if _, set := cfg.RuntimeParams[name]; !set {
			cfg.RuntimeParams[name] = value
		}
	}
	if o.Connections == 0 {
		o.Connections = 16
	}
	pool := stdlib.OpenDB(*cfg)
	pool.SetMaxOpenConns(o.Connections)
	pool.SetMaxIdleConns(o.Connections)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	return &DB{Engine: Postgres, write: pool, read: pool}, nil
}

// OpenPostgresTool opens a pool of two for migrations and administration,
// without a limit on a statement's time.
func OpenPostgresTool(rawURL string, o PostgresOptions) (*sql.DB, error) {
	cfg, err := postgresConfig(rawURL, o)
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams["application_name"] = "petstore-tool"
	pool := stdlib.OpenDB(*cfg)
	pool.SetMaxOpenConns(2)
	return pool, nil
}

func postgresConfig(rawURL string, o PostgresOptions) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(rawURL)
	if err != nil {
		// The parser's own message may hold parts of the password.
		return nil, fmt.Errorf("reading Postgres URL %q: expected postgres://user:password@host:port/database", RedactURL(rawURL))
	}
	if o.Database != "" {
		cfg.Database = o.Database
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 5 * time.Second
	}
	cfg.RuntimeParams["timezone"] = "UTC"
	if o.SearchPath != "" {
		cfg.RuntimeParams["search_path"] = Quote(o.SearchPath)
	}
	return cfg, nil
}

// RedactURL returns the URL without its password, for messages. What is no
// URL, such as "host=... password=...", is not shown at all.
func RedactURL(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return "(unreadable)"
	}
	return u.Redacted()
}

// Quote quotes an identifier for both engines.
func Quote(identifier string) string { return pgx.Identifier{identifier}.Sanitize() }
