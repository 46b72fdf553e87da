package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func TestOperatorListsAttemptsFromTheCommandLine(t *testing.T) {
	o := &operatorShell{t: t, dir: filepath.Join(t.TempDir(), "data")}
	o.do(0, "tenant", "create", "acme")
	db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(o.dir, "petstore.db"), sqldb.SQLiteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := control.Open(t.Context(), control.Options{DB: db, Plans: []tenant.Plan{"free"}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	records := []control.Access{
		{ID: "a-1", At: now.Add(-2 * time.Hour), Type: "cross_tenant_access_attempt", Tenant: "acme", UserTenant: "globex", User: "ann", ClientIP: "192.0.2.1", Method: "GET", Host: "acme.x", Path: "/a\x1b[2J\u202eb", Count: 3},
		{ID: "a-2", At: now.Add(-time.Minute), Type: "tenant_conflict", Claimed: []string{"host=acme", "header=initech"}, Count: 1},
	}
	for i := range 600 { // more than a page
		records = append(records, control.Access{ID: fmt.Sprintf("b-%03d", i), At: now.Add(-24 * time.Hour), Type: "flood", Count: 1})
	}
	if n, err := catalog.SaveAccess(t.Context(), records); err != nil || n != len(records) {
		t.Fatal(n, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	lines := func(args ...string) []string {
		t.Helper()
		return strings.Split(strings.TrimSpace(o.do(0, append([]string{"audit"}, args...)...)), "\n")
	}
	table := lines("--tenant", "acme")
	if len(table) != 3 || !strings.HasPrefix(table[0], "TIME") || !strings.Contains(table[1], `["host=acme" "header=initech"]`) ||
		!strings.Contains(table[2], "cross_tenant_access_attempt") || !strings.Contains(table[2], `"GET acme.x/a\x1b[2J\u202eb"`) {
		t.Errorf("got %s", strings.Join(table, "\n"))
	}
	for _, test := range []struct {
		args string
		want int
	}{
		{"--limit 1000", 602}, {"--limit 550", 550}, {"", 100}, {"--type flood --limit 1000", 600}, {"--since 1h", 1},
		{"--before 1h --since 3h", 1}, {"--since " + now.Add(-3*time.Hour).Format(time.RFC3339), 2}, {"--tenant nobody", 0},
	} {
		if got := len(lines(strings.Fields(test.args)...)) - 1; got != test.want {
			t.Errorf("audit %s: %d lines, expected %d", test.args, got, test.want)
		}
	}
	var first struct {
		ID    string
		Path  string
		Count int
	}
	list := lines("--json", "--tenant", "globex")
	if err := json.Unmarshal([]byte(list[0]), &first); err != nil || len(list) != 1 || first.ID != "a-1" || first.Count != 3 || first.Path != "/a\x1b[2J\u202eb" {
		t.Errorf("got %q, %v", list, err)
	}
	for _, args := range []string{"--tenant A!", "--since yesterday", "--before 5", "--limit 0", "list", "--colour red"} {
		o.do(2, append([]string{"audit"}, strings.Fields(args)...)...)
	}
	if help := o.do(0, "audit", "--help"); !strings.Contains(help, "--since") || !strings.Contains(help, "PETSTORE_DATA") {
		t.Errorf("help: %s", help)
	}
	var help strings.Builder
	if code := run(t.Context(), []string{"help"}, environ(nil), &help, &help); code != exitOK || !strings.Contains(help.String(), "audit      list attempts") {
		t.Errorf("help: %d %s", code, help.String())
	}
}
