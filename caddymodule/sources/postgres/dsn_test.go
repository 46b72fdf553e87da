package postgres

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/pgtest"
)

// Every one of these has a password in it of which the pieces are worth finding.
func TestAPasswordIsNeverShown(t *testing.T) {
	for _, dsn := range []string{
		"postgres://user:s3cret@127.0.0.1:1/db?connect_timeout=1",
		"host=127.0.0.1 port=1 user=user password=s3cret dbname=db",
		"host=127.0.0.1 port=1 user=user password='s3cret' dbname=db",
		"postgres://user:%73%33cret@127.0.0.1:1/db?connect_timeout=1",
		"postgres://user:s3cret@host:port/db", "postgres://user:s3cret@[::1/db", "host=x password='s3cret", "host=h user=x password=s3cret sslmode=never", "://user:s3cret@h",
		"postgres://user:s3cret#x@127.0.0.1:1/db", "postgres://user:s3cret?x@127.0.0.1:1/db", "postgres://user:s3cret/x@127.0.0.1:1/db",
		"postgres://user:1/s3cret@127.0.0.1:1/db", "postgres://user:1?s3cret@127.0.0.1:1/db", "postgres://user:1#s3cret@127.0.0.1:1/db",
		"postgres://user:%s3cret@127.0.0.1:1/db", "postgres://user:a b s3cret@127.0.0.1:1/db", "postgres://user:[s3cret@127.0.0.1:1/db",
		"host=127.0.0.1 port=1 password=a s3cret user=user", "host=127.0.0.1 port=1 password=a s3cret=b user=user", "host=127.0.0.1 port=1 user=u password='a's3cret' dbname=d",
		`host=127.0.0.1 port=1 user=u password=a\ s3cret dbname=d`,
	} {
		t.Run(dsn, func(t *testing.T) {
			m := &Postgres{Address: dsn}
			if err := m.Provision(caddy.Context{}); err != nil {
				if strings.Contains(err.Error(), "s3c") || strings.Contains(err.Error(), "cret") || !strings.HasPrefix(err.Error(), "reading postgres source: expected a DSN") {
					t.Errorf("error = %v", err)
				}
				return
			}
			s, err := m.OpenSource()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			if !strings.HasPrefix(s.String(), "postgres 127.0.0.1:1/") || strings.Contains(s.String(), "cret") {
				t.Errorf("named %q", s)
			}
			if _, err = s.Load(within(t)); err == nil || strings.Contains(err.Error(), "s3c") || strings.Contains(err.Error(), "cret") {
				t.Errorf("error = %v", err)
			}
		})
	}
}

// A server quotes a parameter that it does not know.
func TestAPieceOfAPasswordIsNotShownByTheServer(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Start(t).DSN()
	for _, rest := range []string{" password=a s3cret=b", " password=a s3cret.x", " s3cret=b password=a"} {
		t.Run(rest, func(t *testing.T) {
			m := &Postgres{Address: dsn + rest}
			err := m.Provision(caddy.Context{})
			if err == nil {
				_, err = openUntilEnd(t, dsn+rest, "").Load(within(t))
			}
			if err == nil || strings.Contains(err.Error(), "s3c") || strings.Contains(err.Error(), "cret") {
				t.Errorf("error = %v", err)
			}
		})
	}
}

func TestTheNameIsKindAndPlaceAndQuery(t *testing.T) {
	name := func(dsn, query string) string { return openUntilEnd(t, dsn, query).String() }
	want := "postgres h:5433/db"
	for _, dsn := range []string{"postgres://a:b@h:5433/db", "postgres://h:5433/db?connect_timeout=3&user=a@b", "host=h port=5433 dbname=db user=c password='d e' connect_timeout=5"} {
		t.Run(dsn, func(t *testing.T) {
			if got := name(dsn, ""); got != want {
				t.Errorf("named %q", got)
			}
		})
	}
	if got := name("postgres://a:b@h:5433/db?search_path=x", ""); got != want+" search_path x" {
		t.Errorf("named %q", got)
	}
	if one, two := name("host=h port=5433 dbname=db", "SELECT 1"), name("host=h port=5433 dbname=db", "SELECT 2"); one == two || !strings.HasPrefix(one, want+" query ") {
		t.Errorf("named %q and %q", one, two)
	}
}
