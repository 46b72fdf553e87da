package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/internal/pgtest"
)

const credentialSQL = `
	CREATE TABLE api_keys (id TEXT PRIMARY KEY, hash TEXT NOT NULL, slug TEXT NOT NULL, name TEXT NOT NULL, roles TEXT NOT NULL,
		created_at BIGINT NOT NULL DEFAULT 0, expires_at BIGINT NOT NULL DEFAULT 0, revoked_at BIGINT NOT NULL DEFAULT 0);
	CREATE TABLE revocations (id TEXT PRIMARY KEY, kind TEXT NOT NULL, value TEXT NOT NULL, issuer TEXT NOT NULL DEFAULT '',
		before BIGINT NOT NULL DEFAULT 0, until BIGINT NOT NULL DEFAULT 0, created_at BIGINT NOT NULL DEFAULT 0);`

func hashOf(key string) KeyHash { return sha256.Sum256([]byte(key)) }

func hexOf(key string) string {
	hash := hashOf(key)
	return hex.EncodeToString(hash[:])
}

// credentialWorld is a database that a test writes to as a backend would.
type credentialWorld struct {
	source  func(t *testing.T) CredentialSource
	exec    func(t *testing.T, query string)
	away    func(t *testing.T) // the database is gone until back
	back    func(t *testing.T)
	missing func(t *testing.T) CredentialSource // of a database that is not there
}

func sqliteCredentialWorld(journal string) func(*testing.T) credentialWorld {
	return func(t *testing.T) credentialWorld {
		w := newSQLiteWorld(journal)(t).(*sqliteWorld)
		var saved string
		source := func(path string) func(*testing.T) CredentialSource {
			return func(t *testing.T) CredentialSource {
				s, err := NewSQLiteCredentials(path)
				if err != nil {
					t.Fatal(err)
				}
				s.(*sqliteCredentials).pace = pace{} // looks one after the other
				return s
			}
		}
		w.exec(t, "PRAGMA journal_mode="+journal)
		return credentialWorld{
			source: source(w.path), missing: source(w.path + ".not-there"),
			exec: func(t *testing.T, query string) { w.exec(t, query) },
			away: func(t *testing.T) {
				saved = w.path + ".saved"
				w.exec(t, "VACUUM INTO '"+strings.ReplaceAll(saved, "'", "''")+"'")
				w.spoil(t)
			},
			back: func(t *testing.T) {
				w.remove(t)
				replaceFile(t, saved, w.path)
			},
		}
	}
}

func postgresCredentialWorld(t *testing.T) credentialWorld {
	server := pgtest.Start(t)
	source := func(dsn string) func(*testing.T) CredentialSource {
		return func(t *testing.T) CredentialSource {
			s, err := NewPostgresCredentials(dsn)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	}
	return credentialWorld{
		source: source(server.DSN()), missing: source("host=/nowhere user=nobody connect_timeout=1"),
		exec: func(_ *testing.T, query string) { server.Exec(query) },
		away: func(*testing.T) { server.Kill() },
		back: func(*testing.T) { server.Start() },
	}
}

func TestCredentialSourcesConform(t *testing.T) {
	for name, open := range map[string]func(*testing.T) credentialWorld{
		"sqlite in WAL mode": sqliteCredentialWorld("wal"), "sqlite in rollback mode": sqliteCredentialWorld("delete"),
		"postgres": postgresCredentialWorld,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conformCredentials(t, open(t))
		})
	}
}

func conformCredentials(t *testing.T, w credentialWorld) {
	s := w.source(t)
	defer func() { _ = s.Close() }()
	load := func() *Credentials {
		t.Helper()
		c, err := s.Load(within(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	unchanged := func(when string) {
		t.Helper()
		if _, err := s.Load(within(t), nil); !errors.Is(err, ErrUnchanged) {
			t.Fatalf("%s: got %v, want %v", when, err, ErrUnchanged)
		}
	}
	if c := load(); c.Keys() != 0 || c.Revocations() != 0 || len(c.problems) != 0 {
		t.Fatalf("without tables: %+v", c)
	}
	unchanged("without tables")
	w.exec(t, credentialSQL)
	load()
	w.exec(t, "INSERT INTO api_keys (id, hash, slug, name, roles, expires_at) VALUES ('k1', '"+hexOf("tk_1")+"', 'acme', 'ci', 'editor admin', 1893456000000000)")
	c := load()
	k := c.Key(hashOf("tk_1"))
	if k == nil || k.ID != "k1" || k.Tenant != slug("acme") || k.Name != "ci" || !slices.Equal(k.Roles, []string{"editor", "admin"}) ||
		!k.Expires.Equal(time.UnixMicro(1893456000000000)) || k.Revoked || c.Key(hashOf("tk_2")) != nil {
		t.Fatalf("got %+v", k)
	}
	unchanged("after the first key")
	w.exec(t, "CREATE TABLE pets (id INTEGER)")
	unchanged("after another table's creation")
	w.exec(t, "INSERT INTO pets VALUES (1)")
	unchanged("after another table's change")
	w.exec(t, "UPDATE api_keys SET revoked_at = 1800000000000000")
	if k := load().Key(hashOf("tk_1")); k == nil || !k.Revoked {
		t.Errorf("revoked: got %+v", k)
	}
	w.exec(t, "DELETE FROM api_keys")
	if c := load(); c.Keys() != 0 {
		t.Errorf("deleted: got %d keys", c.Keys())
	}
	w.exec(t, "INSERT INTO revocations (id, kind, value) VALUES ('r1', 'token', 'jti-1')")
	w.exec(t, "INSERT INTO revocations (id, kind, value, issuer, before) VALUES ('r2', 'subject', 'ann', 'https://idp', 1800000000000000)")
	c = load()
	if !c.Revoked(Token{ID: "jti-1"}) || !c.Revoked(Token{Subject: "ann", Issuer: "https://idp"}) || c.Revoked(Token{Subject: "ann"}) {
		t.Errorf("got %+v", c)
	}
	w.exec(t, "DELETE FROM revocations WHERE id = 'r1'")
	if c := load(); c.Revoked(Token{ID: "jti-1"}) || c.Revocations() != 1 {
		t.Errorf("taken back: got %+v", c)
	}
	// What cannot be understood must not be taken for nothing.
	w.exec(t, "INSERT INTO revocations (id, kind, value) VALUES ('r3', 'tenant', 'acme')")
	if c, err := s.Load(within(t), nil); err == nil || !strings.Contains(err.Error(), `"tenant"`) || !strings.Contains(err.Error(), "revocations") {
		t.Errorf("an unknown kind: %+v, %v", c, err)
	}
	w.exec(t, "DELETE FROM revocations WHERE id = 'r3'")
	if c := load(); c.Revocations() != 1 {
		t.Errorf("mended: got %+v", c)
	}
	// A database that goes away and comes back.
	w.away(t)
	if c, err := s.Load(within(t), nil); err == nil || errors.Is(err, ErrUnchanged) {
		t.Errorf("while it is away: %+v, %v", c, err)
	}
	w.back(t)
	if c := load(); !c.Revoked(Token{Subject: "ann", Issuer: "https://idp"}) {
		t.Errorf("when it is back: %+v", c)
	}
	// Tables of that name that are another one's.
	w.exec(t, "DROP TABLE api_keys")
	w.exec(t, "CREATE TABLE api_keys (id INTEGER, secret TEXT)")
	w.exec(t, "INSERT INTO api_keys VALUES (1, 'x')")
	if c := load(); c.Keys() != 0 || len(c.problems) != 1 || !strings.Contains(c.problems[0].String(), "without hash, slug") || c.Revocations() != 1 {
		t.Errorf("another one's table: %+v", c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.exec(t, "DELETE FROM revocations")
	if c, err := s.Load(ctx, nil); err == nil {
		t.Errorf("after the context's end: %+v", c)
	}
	if c := load(); c.Revocations() != 0 {
		t.Errorf("got %+v", c)
	}
	none := w.missing(t)
	defer func() { _ = none.Close() }()
	if c, err := none.Load(within(t), nil); err == nil {
		t.Errorf("no database: %+v", c)
	}
}

func TestRevocationsMeanOneIssuersTokensOrAllOfThem(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	c := readRows(t, nil, nil, [][]any{
		{"token", "j-any", "", int64(0)},
		{"token", "j-own", "idp", int64(0)},
		{"subject", "s-any", "", at.UnixMicro()},
		{"subject", "s-own", "idp", at.UnixMicro()},
		{"subject", "s-always", nil, nil},
	})
	for name, test := range map[string]struct {
		token Token
		want  bool
	}{
		"nothing at all":             {Token{}, false},
		"another":                    {Token{ID: "x", Subject: "y", Issuer: "idp"}, false},
		"id, any issuer":             {Token{ID: "j-any", Issuer: "idp"}, true},
		"id, without issuer":         {Token{ID: "j-any"}, true},
		"id, its issuer":             {Token{ID: "j-own", Issuer: "idp"}, true},
		"id, another issuer":         {Token{ID: "j-own", Issuer: "other"}, false},
		"id, no issuer":              {Token{ID: "j-own"}, false},
		"an id as a subject":         {Token{Subject: "j-any"}, false},
		"a subject as an id":         {Token{ID: "s-any"}, false},
		"subject, before":            {Token{Subject: "s-any", IssuedAt: at.Add(-time.Second)}, true},
		"subject, at the moment":     {Token{Subject: "s-any", IssuedAt: at}, false},
		"subject, without a time":    {Token{Subject: "s-any"}, true},
		"subject, its issuer":        {Token{Subject: "s-own", Issuer: "idp"}, true},
		"subject, another issuer":    {Token{Subject: "s-own", Issuer: "other"}, false},
		"subject, without a moment":  {Token{Subject: "s-always", IssuedAt: at.Add(1e6 * time.Hour)}, true},
		"subject of any, issuer own": {Token{Subject: "s-any", Issuer: "idp"}, true},
	} {
		if got := c.Revoked(test.token); got != test.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// readRows reads rows as if they came from a database.
func readRows(t *testing.T, check func(*Key) error, keys, revocations [][]any) *Credentials {
	t.Helper()
	run := func(query string, _ []any, _ func([]string) error, row func([]any) error) error {
		rows := keys
		if strings.Contains(query, "FROM revocations") {
			rows = revocations
		}
		for _, r := range rows {
			if err := row(r); err != nil {
				return err
			}
		}
		return nil
	}
	c, err := readCredentials(run, check, func(table string) []string {
		for _, known := range credentialTables {
			if known.name == table {
				return known.columns
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAFaultyKeyOpensNothingAndIsNamed(t *testing.T) {
	good := func() []any { return []any{"k1", hexOf("tk_1"), "acme", "ci", "editor", int64(0), int64(0)} }
	with := func(i int, v any) []any {
		row := good()
		row[i] = v
		return row
	}
	rows := [][]any{
		good(), with(0, ""), with(0, "a b"), with(1, "abc"), with(1, "secret"+hexOf("x")[6:]), with(2, "Not A Slug"), with(2, nil),
		with(3, ""), with(3, "a\nb"), with(4, 7.5), with(5, "soon"), with(6, "x"), with(4, "no-such-role"),
	}
	raw := hashOf("tk_2")
	rows = append(rows, []any{int64(7), raw[:], "acme", "ci", nil, nil, nil})
	c := readRows(t, func(k *Key) error {
		if slices.Contains(k.Roles, "no-such-role") {
			return errors.New("no such role")
		}
		return nil
	}, rows, nil)
	if c.Keys() != 2 || c.Key(hashOf("tk_1")) == nil || c.Key(raw) == nil || c.Key(raw).ID != "7" || c.Key(raw).Roles != nil {
		t.Errorf("got %d keys", c.Keys())
	}
	if c.faults != len(rows)-2 {
		t.Errorf("got %d faults, want %d", c.faults, len(rows)-2)
	}
	for _, p := range c.problems {
		if strings.Contains(p.String(), "secret") || !strings.Contains(p.String(), "api_keys row") {
			t.Errorf("a problem is %s", p)
		}
	}
}

// What has no pages of its own is read after every write.
func TestCredentialsMayComeFromAView(t *testing.T) {
	w := sqliteCredentialWorld("wal")(t)
	w.exec(t, strings.ReplaceAll(credentialSQL, "api_keys", "kept"))
	w.exec(t, "CREATE VIEW api_keys AS SELECT * FROM kept")
	s := w.source(t)
	defer func() { _ = s.Close() }()
	for n, hash := range []string{hexOf("tk_1"), hexOf("tk_2")} {
		w.exec(t, "INSERT INTO kept (id, hash, slug, name, roles) VALUES ('"+hash[:8]+"', '"+hash+"', 'acme', 'ci', '')")
		c, err := s.Load(within(t), nil)
		if err != nil || c.Keys() != n+1 {
			t.Fatalf("key %d: %+v, %v", n+1, c, err)
		}
	}
}
