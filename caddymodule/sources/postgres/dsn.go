package postgres

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
)

// errDSN says what was expected and nothing of what was found: the driver's errors
// quote the part that it could not read, which in a malformed DSN may be a piece of
// the password.
var errDSN = errors.New(`reading postgres source: expected a DSN as in "postgres://user@host:5432/database" or "host=... user=... dbname=...", ` +
	`a password in a URL percent-encoded, one in key=value pairs in single quotes if it has blanks`)

// parse reads a DSN, and refuses one that a password with special characters has
// torn apart: its pieces would stand in names and errors.
func parse(dsn string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(dsn)
	if dsn == "" || err != nil || torn(dsn) {
		return nil, errDSN
	}
	for name := range config.RuntimeParams {
		if !parameterName.MatchString(name) {
			return nil, errDSN
		}
	}
	config.RuntimeParams["application_name"] = "caddy-tenancy"
	return config, nil
}

var parameterName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

// torn reports whether the end of a URL's credentials stands behind its host, as in
// "postgres://user:12/34@host/db".
func torn(dsn string) bool {
	_, rest, ok := strings.Cut(dsn, "://")
	if !ok {
		return false
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		return false
	}
	authority, behind := rest[:end], rest[end:]
	if strings.Contains(authority, "@") || !strings.Contains(authority, ":") {
		return false
	}
	before, _, there := strings.Cut(behind, "@")
	return there && !strings.Contains(before, "=") // a parameter's value may have one
}

// nameOf is the database's place, which is the source's identity: not its user nor
// password, which may be rotated.
func nameOf(c *pgx.ConnConfig) string {
	name := fmt.Sprintf("postgres %s:%d/%s", c.Host, c.Port, c.Database)
	if path := c.RuntimeParams["search_path"]; path != "" {
		name += " search_path " + path
	}
	return name
}
