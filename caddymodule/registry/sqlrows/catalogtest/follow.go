package catalogtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sqlrows"
)

// Watched is a connection that notes how tenants are read on it.
type Watched struct {
	sqlrows.Conn

	// Found is how the last poll has found them: by reading "rows" above the number, in
	// the end "all", or "nothing".
	Found string
}

// Poll implements [sqlrows.Conn].
func (w *Watched) Poll(ctx context.Context, all bool, read func(sqlrows.Runner, bool) error) error {
	w.Found = "nothing"
	return w.Conn.Poll(ctx, all, func(run sqlrows.Runner, fresh bool) error {
		return read(func(query string, head func([]string) error, row func([]any) error) error {
			switch {
			case !strings.Contains(query, " FROM tenants t"):
			case strings.Contains(query, "revision > "):
				w.Found = "rows"
			default:
				w.Found = "all"
			}
			return run(query, head, row)
		}, fresh)
	})
}

// tenant is a row that a shell writes.
func tenant(n int) string {
	return fmt.Sprintf("INSERT INTO tenants (id, slug, skeleton, name, plan, status, isolation, created_at, updated_at, revision) "+
		"VALUES ('t%[1]d', 'tenant-%[1]d', 'tenant-%[1]d', '', 'free', 'active', 'shared', 1700000000000000, 1700000000000000, 0);", n)
}

func host(name string, n int) string {
	return fmt.Sprintf("INSERT INTO tenant_hosts (host, slug, verified, created_at) VALUES ('%s', 'tenant-%d', 1, 1);", name, n)
}

// step is what a shell writes, and how it must be found: "rows" above the number,
// with which the count adds up, "all" if it does not, "nothing".
type step struct{ what, sql, found string }

var steps = []step{
	{"a tenant", tenant(4), "rows"},
	{"a tenant that changes", "UPDATE tenants SET plan = 'basic' WHERE slug = 'tenant-1'", "rows"},
	{"the same one again", "UPDATE tenants SET plan = 'premium' WHERE slug = 'tenant-1'", "rows"},
	{"one that changes its revision by hand", "UPDATE tenants SET plan = 'free', revision = 3 WHERE slug = 'tenant-1'", "rows"},
	{"every tenant", "UPDATE tenants SET status = 'suspended'", "rows"},
	{"a host", host("a.example", 1), "rows"},
	{"a host that is verified", "UPDATE tenant_hosts SET verified = 2", "rows"},
	{"a host that goes to another", "UPDATE tenant_hosts SET slug = 'tenant-2' WHERE host = 'a.example'", "rows"},
	{"a host that goes", "DELETE FROM tenant_hosts WHERE host = 'a.example'", "rows"},
	{"many at once", tenant(5) + tenant(6) + host("b.example", 5) + host("c.example", 6), "rows"},
	{"a tenant that goes", "DELETE FROM tenant_hosts WHERE slug = 'tenant-6'; DELETE FROM tenants WHERE slug = 'tenant-6'", "all"},
	{"one that goes and one that comes", "DELETE FROM tenants WHERE slug = 'tenant-4';" + tenant(7), "all"},
	{"one that is renamed", "UPDATE tenants SET slug = 'renamed' WHERE slug = 'tenant-7'", "all"},
	{"a setting", "INSERT INTO tenant_config (slug, name, value, updated_at) VALUES ('tenant-1', 'x', '1', 1)", "rows"},
	{"another table", "INSERT INTO catalog_facts VALUES ('x', 'y')", "nothing"},
	{"a key", "INSERT INTO api_keys (id, hash, slug, name, roles, created_at) VALUES ('k', 'h', 'tenant-1', 'n', '', 1)", "nothing"},
}

// AnyWriter has a source follow a catalog of three tenants that others write to. What
// it finds must lead where reading everything leads. More are steps of the engine's
// own, as pairs of what and SQL, that must be found somehow.
func AnyWriter(t *testing.T, open func(t *testing.T) (registry.Source, *Watched), exec func(sql string), more ...[2]string) {
	t.Helper()
	exec(tenant(1) + tenant(2) + tenant(3))
	s, watched := open(t)
	all := steps
	for _, m := range more {
		all = append(slices.Clip(all), step{m[0], m[1], ""})
	}
	known, err := s.Load(within(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range all {
		exec(step.sql)
		records, err := s.Load(within(t))
		if err == nil {
			known = records
		} else if !errors.Is(err, registry.ErrUnchanged) {
			t.Fatal(err)
		}
		if step.found != "" && watched.Found != step.found {
			t.Errorf("%s was found by reading %s, want %s", step.what, watched.Found, step.found)
		}
		fresh, _ := open(t)
		want, err := fresh.Load(within(t))
		if err != nil {
			t.Fatal(err)
		}
		_ = fresh.Close()
		if got, want := dump(known), dump(want); got != want {
			t.Fatalf("%s: got\n%s\nwant\n%s", step.what, got, want)
		}
	}
}

func dump(records []registry.Record) string {
	var lines []string
	for _, r := range records {
		slices.Sort(r.Hosts)
		lines = append(lines, fmt.Sprint(r.ID, r.Slug, r.Plan, r.Status, r.Hosts, r.Created.UTC(), r.Faults))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
