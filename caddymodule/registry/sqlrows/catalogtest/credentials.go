package catalogtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

// CredentialSQL makes the two tables as they were before somebody counted.
const CredentialSQL = `
	CREATE TABLE api_keys (id TEXT PRIMARY KEY, hash TEXT NOT NULL, slug TEXT NOT NULL, name TEXT NOT NULL, roles TEXT NOT NULL,
		created_at BIGINT NOT NULL DEFAULT 0, expires_at BIGINT NOT NULL DEFAULT 0, revoked_at BIGINT NOT NULL DEFAULT 0);
	CREATE TABLE revocations (id TEXT PRIMARY KEY, kind TEXT NOT NULL, value TEXT NOT NULL, issuer TEXT NOT NULL DEFAULT '',
		before BIGINT NOT NULL DEFAULT 0, until BIGINT NOT NULL DEFAULT 0, created_at BIGINT NOT NULL DEFAULT 0);`

// Hash is what is kept of a key's text.
func Hash(key string) string {
	hash := sha256.Sum256([]byte(key))
	return hex.EncodeToString(hash[:])
}

// World is a database that credentials are read from, empty at first.
type World struct {
	Open func(t *testing.T) registry.CredentialSource
	Exec func(sql string)
	// Away makes it unreadable until Back, which leaves all as it was.
	Away, Back func()
}

// Credentials is what every source of credentials in an SQL database must do.
func Credentials(t *testing.T, w World) {
	t.Helper()
	s := w.Open(t)
	load := func() *registry.Credentials {
		t.Helper()
		c, err := s.Load(within(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := load(); c.Keys() != 0 || c.Revocations() != 0 || problems(c) != "" {
		t.Fatalf("without tables: %+v", c)
	}
	w.Exec(CredentialSQL)
	load()
	w.Exec("INSERT INTO api_keys (id, hash, slug, name, roles, expires_at) VALUES ('k1', '" + Hash("tk_1") + "', 'acme', 'ci', 'editor admin', 1893456000000000)")
	k := load().Key(sha256.Sum256([]byte("tk_1")))
	if k == nil || k.ID != "k1" || k.Tenant.String() != "acme" || k.Name != "ci" || !slices.Equal(k.Roles, []string{"editor", "admin"}) ||
		!k.Expires.Equal(time.UnixMicro(1893456000000000)) || k.Revoked {
		t.Fatalf("got %+v", k)
	}
	w.Exec("UPDATE api_keys SET revoked_at = 1800000000000000")
	if k := load().Key(sha256.Sum256([]byte("tk_1"))); k == nil || !k.Revoked {
		t.Errorf("revoked: got %+v", k)
	}
	w.Exec("DELETE FROM api_keys")
	if c := load(); c.Keys() != 0 {
		t.Errorf("deleted: got %d keys", c.Keys())
	}
	w.Exec("INSERT INTO revocations (id, kind, value) VALUES ('r1', 'token', 'jti-1'), ('r2', 'subject', 'ann')")
	ann := registry.Token{Subject: "ann"}
	if c := load(); !c.Revoked(registry.Token{ID: "jti-1"}) || !c.Revoked(ann) {
		t.Errorf("got %+v", c)
	}
	w.Exec("DELETE FROM revocations WHERE id = 'r1'")
	if c := load(); c.Revoked(registry.Token{ID: "jti-1"}) || c.Revocations() != 1 {
		t.Errorf("taken back: got %+v", c)
	}
	// What cannot be understood must not be taken for nothing.
	w.Exec("INSERT INTO revocations (id, kind, value) VALUES ('r3', 'tenant', 'acme')")
	if c, err := s.Load(within(t), nil); err == nil || !strings.Contains(err.Error(), `"tenant"`) || !strings.Contains(err.Error(), "revocations") {
		t.Errorf("an unknown kind: %+v, %v", c, err)
	}
	w.Exec("DELETE FROM revocations WHERE id = 'r3'")
	load()
	w.Away()
	if c, err := s.Load(within(t), nil); err == nil || errors.Is(err, registry.ErrUnchanged) {
		t.Errorf("while it is away: %+v, %v", c, err)
	}
	w.Back()
	if c := load(); !c.Revoked(ann) {
		t.Errorf("when it is back: %+v", c)
	}
	// Tables of that name that are another one's.
	w.Exec("DROP TABLE api_keys")
	w.Exec("CREATE TABLE api_keys (id INTEGER, secret TEXT)")
	if c := load(); c.Keys() != 0 || !strings.Contains(problems(c), "without hash, slug") || c.Revocations() != 1 {
		t.Errorf("another one's table: %+v", c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.Exec("DELETE FROM revocations")
	if c, err := s.Load(ctx, nil); err == nil {
		t.Errorf("after the context's end: %+v", c)
	}
	if c := load(); c.Revocations() != 0 {
		t.Errorf("got %+v", c)
	}
}

func problems(c *registry.Credentials) string {
	list, _ := c.Problems()
	var lines []string
	for _, p := range list {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

// AnyCredentialWriter has a source follow the bundled catalog, and what is written to
// its other tables not read for.
func AnyCredentialWriter(t *testing.T, s registry.CredentialSource, exec func(sql string)) {
	t.Helper()
	exec(tenant(1))
	if _, err := s.Load(within(t), nil); err != nil {
		t.Fatal(err)
	}
	const key = "INSERT INTO api_keys (id, hash, slug, name, roles, created_at, expires_at) VALUES ('"
	for _, step := range []struct {
		what, sql         string
		keys, revocations int // -1: unchanged
	}{
		{"a key", key + "k1', '" + Hash("tk_1") + "', 'tenant-1', 'ci', '', 1, 0)", 1, 0},
		{"a tenant", "UPDATE tenants SET plan = 'basic'", -1, 0},
		{"a key that never ends in practice", key + "k2', '" + Hash("tk_2") + "', 'tenant-1', 'ci', '', 1, 253370764800000000)", 2, 0},
		{"a key that is revoked", "UPDATE api_keys SET revoked_at = 1 WHERE id = 'k1'", 2, 0},
		{"a key that goes", "DELETE FROM api_keys WHERE id = 'k1'", 1, 0},
		{"a token", "INSERT INTO revocations (id, kind, value, created_at) VALUES ('r1', 'token', 'jti', 1)", 1, 1},
		{"a subject long ago", "INSERT INTO revocations (id, kind, value, before, created_at) VALUES ('r2', 'subject', 'ann', 86400000000, 1)", 1, 2},
		{"a token that is let in again", "DELETE FROM revocations WHERE id = 'r1'", 1, 1},
	} {
		exec(step.sql)
		c, err := s.Load(within(t), nil)
		if step.keys < 0 {
			if !errors.Is(err, registry.ErrUnchanged) {
				t.Errorf("%s: got %v", step.what, err)
			}
			continue
		}
		if err != nil || c.Keys() != step.keys || c.Revocations() != step.revocations {
			t.Fatalf("%s: got %+v, %v", step.what, c, err)
		}
		if k := c.Key(sha256.Sum256([]byte("tk_2"))); k != nil && k.Expires.Year() != 9999 {
			t.Errorf("%s: the key ends at %v", step.what, k.Expires)
		}
		if step.revocations == 2 && (c.Revoked(registry.Token{Subject: "ann", IssuedAt: time.Unix(1700000000, 0)}) || !c.Revoked(registry.Token{Subject: "ann", IssuedAt: time.Unix(80000, 0)})) {
			t.Errorf("%s: its tokens are refused as of another time", step.what)
		}
	}
	s.(interface{ Forget() }).Forget()
	if _, err := s.Load(within(t), nil); err != nil {
		t.Errorf("after Forget: %v", err)
	}
}
