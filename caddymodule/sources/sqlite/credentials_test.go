package sqlite

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sqlrows/catalogtest"
)

func openCredentials(t *testing.T, path string) registry.CredentialSource {
	t.Helper()
	s, err := module(t, path, "").OpenCredentials()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestCredentialsConform(t *testing.T) {
	for _, journal := range []string{"wal", "delete"} {
		t.Run(journal, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, journal)
			p.exec(t, "CREATE TABLE pets (name TEXT)")
			saved := p.path + ".saved"
			catalogtest.Credentials(t, catalogtest.World{
				Open: func(t *testing.T) registry.CredentialSource { return openCredentials(t, p.path) },
				Exec: func(sql string) { p.exec(t, sql) },
				Away: func() {
					p.exec(t, "VACUUM INTO ?", saved)
					p.spoil(t)
				},
				Back: func() {
					p.remove(t)
					if err := os.Rename(saved, p.path); err != nil {
						t.Fatal(err)
					}
				},
			})
			if c, err := openCredentials(t, p.path+".not-there").Load(within(t), nil); err == nil {
				t.Errorf("no database: %+v", c)
			}
		})
	}
}

func TestWhoeverChangesCredentialsIsFoundByTheirNumber(t *testing.T) {
	p := bundled(t)
	catalogtest.AnyCredentialWriter(t, openCredentials(t, p.path), func(sql string) { p.exec(t, sql) })
}

func TestCredentialsMayComeFromAView(t *testing.T) {
	p := newPlace(t, "wal")
	p.exec(t, strings.ReplaceAll(catalogtest.CredentialSQL, "api_keys", "held")+"CREATE VIEW api_keys AS SELECT * FROM held")
	s := openCredentials(t, p.path)
	for n, key := range []string{"tk_1", "tk_2"} {
		p.exec(t, "INSERT INTO held (id, hash, slug, name, roles) VALUES (?, ?, 'acme', 'ci', '')", key, catalogtest.Hash(key))
		if c, err := s.Load(within(t), nil); err != nil || c.Keys() != n+1 {
			t.Fatalf("key %d: %+v, %v", n+1, c, err)
		}
		if _, err := s.Load(within(t), nil); !errors.Is(err, registry.ErrUnchanged) {
			t.Errorf("without a commit: %v", err)
		}
	}
}
