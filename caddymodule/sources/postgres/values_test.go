package postgres

import (
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/pgtest"
)

func TestOtherPeoplesTablesAreRead(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	server.Exec("CREATE DOMAIN hostname AS text; CREATE TYPE state AS ENUM ('active', 'suspended')")
	server.Exec("CREATE EXTENSION citext")
	for name, test := range map[string]struct{ query, want string }{
		"uuids, arrays and times": {
			`SELECT * FROM (VALUES ('00112233-4455-6677-8899-aabbccddeeff'::uuid, 'acme'::varchar(20), ARRAY['a.example', 'b.example'], '2026-01-02 12:00Z'::timestamptz),
				(NULL, 'globex', NULL, NULL)) AS t (id, slug, hosts, created_at)`,
			"00112233-4455-6677-8899-aabbccddeeff|acme||||a.example,b.example|2026-01-02T12:00:00Z\n|globex||||"},
		"an array of a domain":  {"SELECT 'acme' AS slug, ARRAY['a.example', 'b.example', 'c.example']::hostname[] AS hosts", "|acme||||a.example,b.example,c.example"},
		"an array of citext":    {"SELECT 'acme'::citext AS slug, ARRAY['a.example', 'b.example']::citext[] AS hosts", "|acme||||a.example,b.example"},
		"an array of an enum":   {"SELECT 'acme' AS slug, ARRAY['active', 'suspended']::state[] AS hosts, 'active'::state AS status", "|acme||active||active,suspended"},
		"an array of char(n)":   {"SELECT 'acme' AS slug, ARRAY['a.example']::char(20)[] AS hosts", "|acme||||a.example"},
		"char(n)":               {"SELECT 'acme'::char(20) AS slug, 'suspended'::char(20) AS status, 'free'::char(9) AS plan", "|acme|free|suspended||"},
		"a numeric id":          {"SELECT 'acme' AS slug, 42::numeric(20, 0) AS id", "42|acme||||"},
		"a numeric id of cents": {"SELECT 'acme' AS slug, 42::numeric(20, 2) AS id", "42|acme||||"},
		"a large numeric id":    {"SELECT 'acme' AS slug, 12345678901234567890::numeric AS id", "12345678901234567890|acme||||"},
		"small and odd ids":     {"SELECT 'a' AS slug, 7::smallint AS id", "7|a||||"},
		"an oid":                {"SELECT 'a' AS slug, 7::oid AS id", "7|a||||"},
		"seconds since 1970":    {"SELECT 'a' AS slug, extract(epoch FROM '2026-01-02 12:00:00.5Z'::timestamptz) AS created_at", "|a|||||2026-01-02T12:00:00Z"},
		"jsonb":                 {`SELECT 'a' AS slug, '["a.example"]'::jsonb AS hosts, '["200/1h", "10/1s"]'::jsonb AS limits`, "|a|||200/1h 10/1s|a.example"},
		"limits in an array":    {`SELECT 'a' AS slug, ARRAY['200/1h', '10/1s'] AS limits`, "|a|||200/1h 10/1s|"},
		"what is no text":       {"SELECT 'a' AS slug, true AS plan", "|a|||||plan: reading field \"plan\": expected text, found a boolean"},
		"a query with an end":   {"SELECT 'a' AS slug ;", "|a||||"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openUntilEnd(t, server.DSN(), test.query)
			for range 2 { // types that were learned at first are known then
				if got := load(t, s); got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
			}
		})
	}
}

func TestVerifiedHostsCountWhateverTheColumnsType(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	for kind, values := range map[string][2]string{
		"boolean": {"true", "false"}, "bigint": {"1767355200", "0"}, "smallint": {"1", "-1"}, "text": {"'true'", "'pending'"}, "varchar(9)": {"'1'", "''"},
	} {
		t.Run(kind, func(t *testing.T) {
			server.Exec("DROP TABLE IF EXISTS tenants, tenant_hosts; CREATE TABLE tenants (slug char(8)); CREATE TABLE tenant_hosts (slug char(8), host char(20), verified " + kind + ")")
			server.Exec("INSERT INTO tenants VALUES ('acme'); INSERT INTO tenant_hosts VALUES ('acme', 'yes.example', " + values[0] + "), ('acme', 'no.example', " + values[1] + "), ('acme', 'null.example', NULL)")
			if got := load(t, openUntilEnd(t, server.DSN(), "")); got != "|acme||||yes.example" {
				t.Errorf("got %s", got)
			}
		})
	}
}

// A role, a database and a connection string may all say how values are written.
func TestSettingsOfTheSessionChangeNothing(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	server.Exec(`CREATE TABLE tenants (slug text, name text, created_at timestamptz); INSERT INTO tenants VALUES ('acme', 'Ä', '2026-01-02 12:00Z');
		CREATE TABLE api_keys (id text, hash bytea, slug text, name text, roles text, expires_at timestamp, revoked_at timestamp);
		INSERT INTO api_keys VALUES ('1', sha256('x'), 'acme', 'ci', '', '9999-02-01', NULL)`)
	for _, setting := range []string{
		"DateStyle = 'German'", "DateStyle = 'SQL, DMY'", "DateStyle = 'Postgres'", "bytea_output = 'escape'", "extra_float_digits = -15",
		"TimeZone = 'Asia/Kolkata'", "IntervalStyle = 'sql_standard'", "client_encoding = 'LATIN1'", "standard_conforming_strings = off",
		"default_transaction_isolation = 'serializable'",
	} {
		t.Run(setting, func(t *testing.T) {
			server.Exec("ALTER ROLE postgres RESET ALL; ALTER ROLE postgres SET " + setting)
			if got := load(t, openUntilEnd(t, server.DSN(), "")); got != "|acme||||"+"|2026-01-02T12:00:00Z" {
				t.Errorf("got %s", got)
			}
			c, err := openCredentials(t, server.DSN()).Load(within(t), nil)
			if err != nil || c.Keys() != 1 {
				t.Errorf("got %+v, %v", c, err)
			}
			server.Exec("ALTER ROLE postgres RESET ALL")
		})
	}
}

func TestAFailingQuerySaysWhy(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	server.Exec(schema)
	for query, want := range map[string]string{
		"SELECT slug, secret FROM (VALUES ('a', 'b')) t (slug, secret)": `: unknown column "secret": expected some of id, slug, name, plan, status, limits, hosts, upstreams, issuer, jwks, created_at`,
		"SELECT slug, 1 AS extra FROM tenants":                          `: unknown column "extra": expected`,
		"SELECT 'x' AS name":                                            `: column "slug" is missing: expected it and some of id, slug,`,
		"SELECT 'a' AS slug, 'b' AS slug":                               `: column "slug" appears twice`,
		"SELECT slug FROM nowhere":                                      `: ERROR: relation "nowhere" does not exist`,
		"DELETE FROM tenants RETURNING slug":                            `: ERROR: cannot execute DELETE in a read-only transaction`,
		"SELEKT":                                                        `: ERROR: syntax error`,
	} {
		t.Run(query, func(t *testing.T) {
			if _, err := openUntilEnd(t, server.DSN(), query).Load(within(t)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error = %v", err)
			}
		})
	}
}
