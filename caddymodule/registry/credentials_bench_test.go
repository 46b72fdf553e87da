package registry

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
)

// BenchmarkCredentials is a look at 100,000 API keys in a SQLite file after somebody
// has written to another table of it, and after a key was revoked.
func BenchmarkCredentials(b *testing.B) {
	for name, statement := range map[string]string{
		"another table": "UPDATE pets SET number = number + 1",
		"a key":         "UPDATE api_keys SET revoked_at = revoked_at + 1 WHERE id = 'key-77'",
	} {
		b.Run(name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "tenants.db")
			db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(wal)")
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			exec := func(query string, args ...any) {
				if _, err := db.Exec(query, args...); err != nil {
					b.Fatal(err)
				}
			}
			db.SetMaxOpenConns(1)
			exec(credentialSQL + "CREATE TABLE pets (number BIGINT); INSERT INTO pets VALUES (0); BEGIN")
			for i := range 100_000 {
				exec("INSERT INTO api_keys (id, hash, slug, name, roles) VALUES (?, ?, ?, 'ci', 'editor')",
					fmt.Sprint("key-", i), hexOf(fmt.Sprint("tk_", i)), fmt.Sprint("customer-", i%10_000))
			}
			exec("COMMIT")
			s, err := NewSQLiteCredentials(path)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			s.(*sqliteCredentials).pace = pace{} // a look each time
			if _, err := s.Load(context.Background(), nil); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				exec(statement)
				_, err := s.Load(context.Background(), nil)
				if changed := err == nil; changed != (name == "a key") {
					b.Fatal(err)
				}
			}
		})
	}
}
