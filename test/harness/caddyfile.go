package harness

import (
	"strings"
	"testing"
)

// Edit replaces texts of a Caddyfile, given in pairs. One that is not there fails
// the test: the Caddyfile has changed, and the test would try something else.
func Edit(t testing.TB, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i+1 < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the Caddyfile does not contain %q", pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

// OnPostgres has the pet store and the gateway of [StartStack] use a PostgreSQL of
// the test's.
func OnPostgres(t testing.TB) Options {
	t.Helper()
	p := StartPostgres(t)
	url := p.MakeRole()
	return Options{
		Env:       []string{"PETSTORE_DATABASE_URL=" + url, "PETSTORE_OWNER_URL=" + p.URL()},
		Caddyfile: func(text string) string { return Edit(t, text, "sqlite data/petstore.db", "postgres "+url) },
	}
}
